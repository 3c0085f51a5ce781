"""Words cut out of labelled pages: the pages that train a detector train a recogniser too."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from pydantic import Field

from ocr_model.data.fragments import Fragment, Rows, Sample
from ocr_model.data.heatmaps import Quad
from ocr_model.data.page_sources import RealPage, is_readable, read_pages
from ocr_model.data.source_config import SourceConfig, Subset
from ocr_model.errors import ConfigError, ImageError
from ocr_model.image import Pixels, decode_image

_KEPT_PAGES = 512  # whose words, some 2 kB each, a process keeps
_LOWEST = 2.0  # pixels; flatter boxes hold nothing that can be read


class PageWordsSource(SourceConfig):
    """The labelled words of Parquet pages, as `data.real` of jobs/train_detector.py has them.

    Every fifth page is for validation, the same as a detector's; `###` is passed over.
    """

    source: Literal["page_words"]
    path: tuple[str, ...] = Field(min_length=1)
    """Files with `name`, `image` and `regions`, on a disk or in a bucket."""
    holdout_every: int = Field(5, ge=2)
    """Every so-manieth page, from the first on, validates instead."""
    margin: float = Field(0.1, ge=0, le=1)
    """Heights of a word that are seen around it, on the average: each side has its own, between
    none and twice this, as the boxes of a detector do."""

    def fragments(self, subset: Subset) -> list[Fragment]:
        """List the pages, as many rows each as it has words."""
        if self.validation_fraction:
            raise ConfigError(
                "page_words has validation pages of its own (data.holdout_every); "
                "data.validation_fraction is for others"
            )
        return [
            Fragment(page.key, number, len(page.texts))
            for number, page in enumerate(_pages(self.path))
            if (number % self.holdout_every == 0) == (subset == "validation") and page.texts
        ]

    def labels(self, fragment: Fragment) -> Sequence[str | None]:
        """Return what stands in each box; None where nobody could read it."""
        texts = _pages(self.path)[fragment.part].texts
        return [text if is_readable(text) else None for text in texts]

    def read(self, fragment: Fragment, rows: Rows, *, epoch: int) -> list[Sample]:
        """Cut words out; a page's are kept."""
        texts = _pages(self.path)[fragment.part].texts
        crops = _cut_page(self.path, fragment.part, self.margin)
        if isinstance(crops, str):
            return [Sample(None, texts[row], crops) for row in rows]
        return [
            Sample(crops[row], texts[row], "" if crops[row] else "empty_box: flat, or off the page")
            for row in rows
        ]


@lru_cache(maxsize=2)
def _pages(path: tuple[str, ...]) -> list[RealPage]:
    return read_pages(path)


@lru_cache(maxsize=_KEPT_PAGES)
def _cut_page(path: tuple[str, ...], number: int, margin: float) -> list[bytes | None] | str:
    """Return the words of a page as PNGs, or what is wrong with its picture."""
    page = _pages(path)[number]
    try:
        pixels = decode_image(page.image)
    except ImageError as error:
        return str(error)
    margins = np.random.default_rng(number).uniform(0, 2 * margin, (len(page.quads), 4))
    crops = [_cut(pixels, quad, *sides) for quad, sides in zip(page.quads, margins, strict=True)]
    return [None if crop is None else cv2.imencode(".png", crop)[1].tobytes() for crop in crops]


def _cut(
    pixels: Pixels, quad: Quad, before: float, after: float, above: float, below: float
) -> np.ndarray | None:
    """Straighten a word at the page's own resolution, as BGR; None where there is nothing.

    What is seen around it is in heights of the word.
    """
    across = (quad[1] + quad[2] - quad[0] - quad[3]) / 2
    down = (quad[2] + quad[3] - quad[0] - quad[1]) / 2
    width, height = float(np.linalg.norm(across)), float(np.linalg.norm(down))
    if min(width, height) < _LOWEST or not np.isfinite(width + height):
        return None
    if max(width, height) > sum(pixels.shape[:2]):  # longer than the page's diagonal
        return None
    along = across * (height / width)
    left, right, up, out = -before * along, after * along, -above * down, below * down
    seen = quad + np.array([left + up, right + up, right + out, left + out], np.float32)
    if (seen.max(0) <= 0).any() or (seen.min(0) >= pixels.shape[1::-1]).any():
        return None
    size = (round(width + (before + after) * height), round(height * (1 + above + below)))
    corners = np.array([[0, 0], [size[0], 0], size, [0, size[1]]], np.float32)
    # Places are corners of pixels, and OpenCV's the middles.
    matrix = cv2.getPerspectiveTransform(seen.astype(np.float32) - 0.5, corners - 0.5)
    crop = cv2.warpPerspective(pixels, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return cv2.cvtColor(crop, cv2.COLOR_RGB2BGR)
