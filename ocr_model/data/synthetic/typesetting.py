"""Body text: glyphs scaled to a size once, and words set from them at fractions of a pixel."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32

from ocr_model.data.draws import Number
from ocr_model.data.synthetic.fonts import EM_PIXELS, Face, Mask
from ocr_model.data.synthetic.lettering import change_weight

_PHASES = 4  # pen positions per pixel; at 12 pixels per em, whole ones make gaps uneven
_WEIGHT_MARGIN = 3  # pixels that a thicker stroke may need
_CACHED_GLYPHS = 8192  # some 10 MiB at the sizes of body text


@dataclass(frozen=True)
class ScaledGlyph:
    """One character at its size on the page."""

    mask: Mask
    left: int
    """From the pen's whole pixel to the mask's left edge."""
    top: int
    """From the baseline to the mask's upper edge; negative is above."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom of the ink, from the exact pen position and the baseline."""


@dataclass(frozen=True)
class Style:
    """A face at a size."""

    face: Face
    size: Number
    """Pixels per em."""
    stretch: Number = 1.0
    """Width of the letters, relative to the face's own."""
    weight: Number = 0.0
    """Strokes thicker (up to 1) or thinner (down to -1) than the face has them."""

    @property
    def space(self) -> float:
        """Pixels between two words."""
        return self.width(" ")

    def width(self, text: str) -> float:
        """Return by how many pixels a text moves the pen."""
        face, pen = self.face, 0.0
        for place, char in enumerate(text):
            pen += face.glyph(char).advance
            if place:
                pen += face.kerning(text[place - 1], char)
        return pen * self.size * self.stretch / EM_PIXELS

    def set(self, word: str, x: Number, baseline: int) -> "SetWord":
        """Set a word without spaces whose pen starts at (x, baseline)."""
        face, scale = self.face, self.size * self.stretch / EM_PIXELS
        pen, glyphs, boxes = float(x), [], []
        for place, char in enumerate(word):
            if place:
                pen += face.kerning(word[place - 1], char) * scale
            quarters = round(pen * _PHASES)
            column, phase = divmod(quarters, _PHASES)
            glyph = scaled_glyph(face, char, self.size, self.stretch, self.weight, phase)
            glyphs.append((glyph.mask, column + glyph.left, baseline + glyph.top))
            left, top, right, bottom = glyph.box
            at = quarters / _PHASES
            boxes.append((at + left, baseline + top, at + right, baseline + bottom))
            pen += face.glyph(char).advance * scale
        return SetWord(word, tuple(glyphs), np.array(boxes, np.float32), pen)


@dataclass(frozen=True)
class SetWord:
    """A word with its place on a page."""

    text: str
    glyphs: tuple[tuple[Mask, int, int], ...]
    """Of every character the mask and the pixel of its upper left corner: column, row."""
    char_boxes: Float32[np.ndarray, "chars 4"]
    """Left, top, right, bottom of each character's ink."""
    end: float
    """Column of the pen behind the last character."""

    def draw(self, mask: Mask) -> None:
        """Draw the word, which lies inside of the mask."""
        for glyph, left, top in self.glyphs:
            height, width = glyph.shape
            part = mask[top : top + height, left : left + width]
            np.maximum(part, glyph, out=part)


def x_height(face: Face) -> float:
    """Return the height of a small x, in em."""
    return float(face.glyph("x").mask.shape[0] / EM_PIXELS)


@lru_cache(maxsize=_CACHED_GLYPHS)
def scaled_glyph(
    face: Face, char: str, size: Number, stretch: Number, weight: Number, phase: int
) -> ScaledGlyph:
    """Scale a glyph, exactly by area, for a pen that is `phase` quarters into a pixel."""
    glyph = face.glyph(char)
    mask, left, top = glyph.mask, glyph.left, glyph.top
    if weight and mask.size:
        margin = _WEIGHT_MARGIN
        mask = cv2.copyMakeBorder(mask, *(4 * (margin,)), cv2.BORDER_CONSTANT)
        mask = change_weight(mask, weight)
        left, top = left - margin, top - margin
    scale = size / EM_PIXELS
    rows, first_row = _shares(mask.shape[0], top * scale, scale)
    columns, first_column = _shares(
        mask.shape[1], left * scale * stretch + phase / _PHASES, scale * stretch
    )
    scaled = rows @ mask.astype(np.float32) @ columns.T
    ink = glyph.ink
    box = (
        (glyph.left + ink[0]) * scale * stretch,
        (glyph.top + ink[1]) * scale,
        (glyph.left + ink[2]) * scale * stretch,
        (glyph.top + ink[3]) * scale,
    )
    return ScaledGlyph((scaled + 0.5).astype(np.uint8), first_column, first_row, box)


def _shares(
    length: int, start: Number, scale: Number
) -> tuple[Float32[np.ndarray, "targets {length}"], int]:
    """Say how much of each target pixel each of `length` source pixels covers.

    Returns:
        The shares, and the first target pixel.
    """
    edges = start + scale * np.arange(length + 1)
    first, last = int(np.floor(edges[0])), int(np.ceil(edges[-1]))
    targets = np.arange(first, max(last, first + 1))[:, None]
    overlap = np.minimum(edges[1:], targets + 1) - np.maximum(edges[:-1], targets)
    return np.maximum(overlap, 0).astype(np.float32), first
