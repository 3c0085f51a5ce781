"""Texts set from glyphs: one mask per text, and the box of every character."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32

from ocr_model.data.draws import Random, between, happens
from ocr_model.data.effects import blur
from ocr_model.data.synthetic.fonts import EM_PIXELS, Face, Mask

_SPACE = " "
# Of 255, the mean ink of a cell above which it gets a dot: just below a third, so that a stroke two
# thirds as wide as a cell leaves dots even where it falls half into one cell, half into the next.
_DOT_INK = 80
_LEAST_INK = 0.52  # share of a face's own that is left of thinned strokes


@dataclass(frozen=True)
class Lettering:
    """A text at `EM_PIXELS` in the middle of a mask."""

    mask: Mask
    char_boxes: Float32[np.ndarray, "chars 4"]
    """Left, top, right, bottom of each character's ink; of a space, its advance and x-height."""
    ink_box: tuple[int, int, int, int]
    """Left, top, right, bottom of all ink."""


def set_text(face: Face, text: str, *, tracking: float = 0.0, margin: int = 0) -> Lettering:
    """Set a text on a straight line.

    Args:
        face: One that can draw the text.
        text: At least one character that is not a space.
        tracking: Pixels between characters beyond what the face asks for.
        margin: Pixels of paper around the ink, for borders and shadows.
    """
    pen, previous = 0.0, ""
    glyphs, lefts = [], []
    for char in text:
        if previous:
            pen += tracking + (0.0 if _SPACE in (char, previous) else face.kerning(previous, char))
        glyph = face.glyph(char)
        glyphs.append(glyph)
        lefts.append(round(pen) + glyph.left)
        pen += glyph.advance
        previous = char
    inked = [(glyph, left) for glyph, left in zip(glyphs, lefts, strict=True) if glyph.height]
    first = min([left for _, left in inked]) - margin
    top = min([glyph.top for glyph, _ in inked]) - margin
    right = max([left + glyph.width for glyph, left in inked]) + margin
    bottom = max([glyph.top + glyph.height for glyph, _ in inked]) + margin
    mask = np.zeros((bottom - top, right - first), np.uint8)
    boxes: list[float] = []
    end = 0
    for glyph, left in zip(glyphs, lefts, strict=True):
        x, y, height = left - first, glyph.top - top, glyph.height
        if not height:  # a space
            boxes += (x, -top - EM_PIXELS // 2, x + glyph.advance, -top)
            continue
        next_x = x + glyph.width
        if x >= end:
            mask[y : y + height, x:next_x] = glyph.mask
            end = next_x
        else:  # it reaches under the one before
            part = mask[y : y + height, x:next_x]
            cv2.max(part, glyph.mask, dst=part)
            end = max(end, next_x)
        ink_left, ink_top, ink_right, ink_bottom = glyph.ink
        boxes += (x + ink_left, y + ink_top, x + ink_right, y + ink_bottom)
    ink_box = (margin, margin, mask.shape[1] - margin, mask.shape[0] - margin)
    return Lettering(mask, np.array(boxes, np.float32).reshape(-1, 4), ink_box)


def change_weight(mask: Mask, amount: float) -> Mask:
    """Make strokes thicker (`amount` up to 1, by some 2 pixels) or thinner (down to -1)."""
    kernel = _weight_kernel()
    soft = cv2.sepFilter2D(mask, -1, kernel, kernel)
    # Where the blurred edge is cut moves the outline; the slope keeps it smooth.
    changed = cv2.LUT(soft, _weight_ramp(round(128 - 100 * amount)))
    if amount < 0:
        cv2.max(changed, cv2.convertScaleAbs(mask, alpha=0.5), dst=changed)
        if cv2.mean(changed)[0] < _LEAST_INK * cv2.mean(mask)[0]:
            return mask  # hairlines would vanish
    return changed


def print_dots(mask: Mask, pitch: int, radius: float) -> Mask:
    """Print a mask as a dot-matrix printer does: a dot wherever a cell has enough ink.

    Args:
        mask: Letters.
        pitch: Pixels from one dot to the next, along both axes.
        radius: Of a dot, as a share of the pitch; from 0.5 on they touch.
    """
    height, width = mask.shape
    size = (-(-width // pitch), -(-height // pitch))
    padded = cv2.copyMakeBorder(
        mask, 0, size[1] * pitch - height, 0, size[0] * pitch - width, cv2.BORDER_CONSTANT, value=0
    )
    cells = cv2.resize(padded, size, interpolation=cv2.INTER_AREA)
    has_dot = cv2.threshold(cells, _DOT_INK, 255, cv2.THRESH_BINARY)[1]
    spread = cv2.resize(has_dot, padded.shape[::-1], interpolation=cv2.INTER_NEAREST)
    pattern = np.tile(_dot(pitch, radius), size[::-1])
    dots = cv2.multiply(spread, pattern, scale=1 / 255)[:height, :width]
    # Hairlines fill no cell, and would vanish.
    return mask if cv2.mean(dots)[0] < _LEAST_INK * cv2.mean(mask)[0] else dots


def outline(mask: Mask, pixels: int) -> Mask:
    """Thicken a mask by so many pixels on all sides: what a border fills."""
    return cv2.dilate(mask, _disc(pixels))


def cast_shadow(mask: Mask, reach: int, rng: Random) -> Mask:
    """Move a mask aside by up to `reach` pixels each way and perhaps soften it."""
    dx, dy = (round(between(rng, -reach, reach)) for _ in range(2))
    height, width = mask.shape
    shadow = np.zeros_like(mask)
    shadow[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = mask[
        max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    softness = 1.0 + reach / 3
    return blur(shadow, softness, softness) if happens(rng, 0.5) else shadow


@lru_cache(maxsize=64)
def _dot(pitch: int, radius: float) -> np.ndarray:
    places = np.arange(pitch) - (pitch - 1) / 2
    distance = np.hypot(places[:, None], places)
    dot: np.ndarray = np.clip(255 * (radius * pitch + 0.5 - distance), 0, 255).astype(np.uint8)
    return dot


@lru_cache(maxsize=1)
def _weight_kernel() -> np.ndarray:
    return cv2.getGaussianKernel(7, 1.6, cv2.CV_32F)


@lru_cache(maxsize=256)
def _weight_ramp(level: int) -> np.ndarray:
    return np.clip((np.arange(256) - level) * 4 + 128, 0, 255).astype(np.uint8)


@lru_cache(maxsize=16)
def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
