"""Where a detector's pages come from: rendered without end, and real ones out of Parquet."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from ocr_model.config import Config
from ocr_model.data.heatmaps import Quad, SpacedWord, space_by_ink, space_evenly
from ocr_model.data.page_crops import LabelledPage
from ocr_model.data.parquet import filesystem_of
from ocr_model.data.synthetic.pages import PageConfig, page_renderer
from ocr_model.errors import DatasetError
from ocr_model.image import Pixels, decode_image

UNREADABLE = "###"
"""What stands for the text of a region that nobody could read."""

_COLUMNS = ("name", "image", "regions")


class RealPagesConfig(Config):
    """Pages with a box per word, held in memory.

    Each file has the columns `name`, `image` (encoded), and `regions`, a JSON list of
    `{"polygon": [[x, y] * 4], "text": str}` with corners clockwise from where reading begins, and
    `###` for what nobody could read. Characters are boxed by dividing a word's box evenly.
    """

    path: tuple[str, ...] = Field(min_length=1)
    """Files, on a disk or in a bucket."""
    share: float = Field(0.3, gt=0, le=1)
    """Of the training crops."""
    holdout_every: int = Field(5, ge=2)
    """Every so-manieth page, from the first on, validates instead."""


@dataclass(frozen=True)
class RealPage:
    """A page as it was stored."""

    key: str
    """`file:name`."""
    image: bytes
    quads: tuple[Quad, ...]
    texts: tuple[str, ...]

    def decode(self) -> LabelledPage:
        """Decode the picture and divide words into characters.

        Raises:
            ImageError: It is not one.
        """
        pixels = decode_image(self.image)
        labelled = list(zip(self.quads, self.texts, strict=True))
        words = [word for quad, text in labelled for word in _words(quad, text)]
        unknown = tuple(quad for quad, text in labelled if not is_readable(text))
        return LabelledPage(pixels, tuple(words), unknown)


@dataclass(frozen=True)
class PageTruth:
    """A page to validate with."""

    pixels: Pixels
    quads: np.ndarray
    """float32, words x 4 x 2, in pixels."""
    is_ignored: np.ndarray
    """True for words that nobody could read."""


@dataclass(frozen=True)
class RealPages:
    """Pages of one kind."""

    share: float
    """Of the training crops."""
    training: list[RealPage]
    held_out: list[RealPage]


def read_real_pages(config: RealPagesConfig) -> RealPages:
    """Read all files, and hold some pages out.

    Raises:
        DatasetError: As `read_pages` says, or nothing is left to train on.
    """
    pages, every = read_pages(config.path), config.holdout_every
    training = [page for number, page in enumerate(pages) if number % every]
    if not training:
        raise DatasetError(
            f"data.real has {len(pages)} pages in {', '.join(config.path)}: one in {every}, the "
            "first too, is held out, which leaves none to train on"
        )
    return RealPages(config.share, training, pages[::every])


def read_pages(paths: Iterable[str]) -> list[RealPage]:
    """Read all files, in order.

    Raises:
        DatasetError: A file is missing or has other columns, or a row's regions are not understood.
    """
    return [page for path in paths for page in _read_file(path)]


def render_labelled(config: PageConfig, rng: np.random.Generator) -> LabelledPage:
    """Render a page of the training part."""
    page = page_renderer(config).render(rng)
    words = [space_by_ink(word.quad, word.char_quads) for word in page.words]
    return LabelledPage(page.pixels, tuple(words))


def truth_of_rendered(config: PageConfig, rng: np.random.Generator) -> PageTruth:
    """Render a page of the validation part."""
    page = page_renderer(config).render(rng, is_validation=True)
    quads = np.array([word.quad for word in page.words], np.float32).reshape(-1, 4, 2)
    return PageTruth(page.pixels, quads, np.zeros(len(quads), bool))


def truth_of_real(page: RealPage) -> PageTruth:
    """Decode a held-out page.

    Raises:
        ImageError: Its picture is not one.
    """
    quads = np.array(page.quads, np.float32).reshape(-1, 4, 2)
    is_ignored = np.array([not is_readable(text) for text in page.texts], bool)
    return PageTruth(decode_image(page.image), quads, is_ignored)


def fingerprint(pages: Iterable[RealPage]) -> int:
    """Return a number that changes when other pages are there, or with other labels."""
    digest = 0
    for page in pages:
        told = [page.key.encode(), page.image, "\n".join(page.texts).encode()]
        for part in [*told, *(quad.tobytes() for quad in page.quads)]:
            digest = crc32(part, digest)
    return digest


def _read_file(path: str) -> list[RealPage]:
    filesystem, place = filesystem_of(path)
    try:
        table = pq.read_table(place, filesystem=filesystem, columns=list(_COLUMNS))
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(
            f"cannot read pages from {path}: {error}. Expected is Parquet with the columns "
            f"{', '.join(_COLUMNS)}"
        ) from error
    return [_page(path, row) for row in table.to_pylist()]


def _page(path: str, row: dict[str, Any]) -> RealPage:
    key = f"{path}:{row['name']}"
    quads, texts = parse_regions(key, row["regions"])
    return RealPage(key, bytes(row["image"] or b""), quads, texts)


def parse_regions(key: str, told: object) -> tuple[tuple[Quad, ...], tuple[str, ...]]:
    """Return the quads and texts of a page's `regions`; `key` names it in messages.

    Raises:
        DatasetError: They are not as they should be.
    """
    try:
        regions = json.loads(told)  # type: ignore[arg-type]  # whatever a column has
        quads = tuple(np.array(region["polygon"], np.float32) for region in regions)
        texts = tuple(str(region["text"]) for region in regions)
    except (TypeError, ValueError, KeyError) as error:
        raise DatasetError(
            f"regions of {key} are not understood ({type(error).__name__}: {error}); expected is a "
            'JSON list of {"polygon": [[x, y] * 4], "text": str}'
        ) from error
    odd = [quad.shape for quad in quads if quad.shape != (4, 2)]
    if odd:
        raise DatasetError(f"a polygon of {key} has the shape {odd[0]}; it must have four corners")
    return quads, texts


def is_readable(text: str) -> bool:
    """Return whether a region says what stands in it."""
    return bool(text.strip()) and text != UNREADABLE


def _words(quad: Quad, text: str) -> list[SpacedWord]:
    return space_evenly(quad, text.strip()) if is_readable(text) else []
