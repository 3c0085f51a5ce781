"""What every text detector says of an image, and the interface they share."""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt8
from pydantic import Field, model_validator

from ocr_model.config import Config

AnyPixels = UInt8[np.ndarray, "_ _ 3"]
"""An image of a list, which may be of another size than the others."""
Quads = Float32[np.ndarray, "quads 4 2"]
"""Corners as (x, y) in pixels of the original image, clockwise, from where reading begins."""


@dataclass(frozen=True)
class TextMaps:
    """Where an image has characters, and where it has the gaps between those of one word."""

    region: Float32[np.ndarray, "map_height map_width"]
    """Probability, about, of being at the middle of a character (CRAFT, arXiv:1904.01941, 3.2)."""
    affinity: Float32[np.ndarray, "map_height map_width"]
    """The same of the middle between two neighbours of one word."""
    pixels_per_cell: tuple[float, float]
    """Pixels of the original image, along x and y, that one cell of the maps covers."""
    image_size: tuple[int, int]
    """Height and width of the original image; cells beyond it see padding."""
    smaller: "TextMaps | None" = None
    """Of the same image, seen at half the size or less, for characters too large for these."""


class BoxConfig(Config):
    """EasyOCR's thresholds of the maps, with its names and defaults."""

    text_threshold: float = Field(0.7, ge=0, le=1)
    """The region map must reach this somewhere in a word."""
    low_text: float = Field(0.4, ge=0, le=1)
    """Cells of the region map above this are of a word."""
    link_threshold: float = Field(0.4, ge=0, le=1)
    """Cells of the affinity map above this join what is on their sides to one word."""

    @model_validator(mode="after")
    def _thresholds_have_effect(self) -> "BoxConfig":
        if self.text_threshold < self.low_text:
            raise ValueError(
                f"text_threshold={self.text_threshold} is below low_text={self.low_text}, which "
                "every word passes already: raise the one or lower the other"
            )
        return self


DEFAULT_BOXES = BoxConfig()


def batches_of_one_size(sizes: Sequence[tuple[int, ...]], batch_pixels: int) -> Iterator[list[int]]:
    """Yield the numbers of images that are equally high and wide, as many as bear the bound."""
    by_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, size in enumerate(sizes):
        by_size[size].append(number)
    for (height, width), numbers in by_size.items():
        most = max(1, batch_pixels // (height * width))
        yield from (numbers[start : start + most] for start in range(0, len(numbers), most))


class TextDetector(ABC):
    """A network that finds text. May be used by several threads at once."""

    boxes: BoxConfig = DEFAULT_BOXES
    """Thresholds that suit its maps."""

    @abstractmethod
    def find(self, images: Sequence[AnyPixels]) -> list[TextMaps]:
        """Return the maps of images of any sizes, in their order; like sizes share a batch."""
