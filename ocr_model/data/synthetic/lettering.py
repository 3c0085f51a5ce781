"""Texts set from glyphs: one mask per text, and the box of every character."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32

from ocr_model.data.draws import between, happens
from ocr_model.data.effects import blur
from ocr_model.data.synthetic.fonts import EM_PIXELS, Face, Mask

_SPACE = " "


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
    placed = []
    first = top = right = bottom = 0
    for char in text:
        if previous:
            pen += tracking + (0.0 if _SPACE in (char, previous) else face.kerning(previous, char))
        glyph = face.glyph(char)
        left = round(pen) + glyph.left
        height, width = glyph.mask.shape
        if height:
            if not bottom - top:  # the first with ink
                first, top, right, bottom = left, glyph.top, left, glyph.top
            first, top = min(first, left), min(top, glyph.top)
            right, bottom = max(right, left + width), max(bottom, glyph.top + height)
        placed.append((glyph, left))
        pen += glyph.advance
        previous = char
    mask = np.zeros((bottom - top + 2 * margin, right - first + 2 * margin), np.uint8)
    boxes: list[float] = []
    end = 0
    for glyph, left in placed:
        x, y = left - first + margin, glyph.top - top + margin
        height, width = glyph.mask.shape
        if not height:  # a space
            baseline = margin - top
            boxes += (x, baseline - EM_PIXELS // 2, x + glyph.advance, baseline)
            continue
        if x >= end:
            mask[y : y + height, x : x + width] = glyph.mask
        else:  # it reaches under the one before
            part = mask[y : y + height, x : x + width]
            cv2.max(part, glyph.mask, dst=part)
        end = max(end, x + width)
        ink = glyph.ink
        boxes += (x + ink[0], y + ink[1], x + ink[2], y + ink[3])
    ink_box = (margin, margin, mask.shape[1] - margin, mask.shape[0] - margin)
    return Lettering(mask, np.array(boxes, np.float32).reshape(-1, 4), ink_box)


def change_weight(mask: Mask, amount: float) -> Mask:
    """Make strokes thicker (`amount` up to 1, by some 2 pixels) or thinner (down to -1)."""
    kernel = _weight_kernel()
    soft = cv2.sepFilter2D(mask, -1, kernel, kernel)
    # Where the blurred edge is cut moves the outline; the slope keeps it smooth.
    changed = cv2.LUT(soft, _weight_ramp(round(128 - 100 * amount)))
    if amount < 0:  # thin strokes would vanish
        cv2.max(changed, cv2.convertScaleAbs(mask, alpha=0.5), dst=changed)
    return changed


def outline(mask: Mask, pixels: int) -> Mask:
    """Thicken a mask by so many pixels on all sides: what a border fills."""
    return cv2.dilate(mask, _disc(pixels))


def cast_shadow(mask: Mask, reach: int, rng: np.random.Generator) -> Mask:
    """Move a mask aside by up to `reach` pixels each way and perhaps soften it."""
    dx, dy = (round(between(rng, -reach, reach)) for _ in range(2))
    height, width = mask.shape
    shadow = np.zeros_like(mask)
    shadow[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = mask[
        max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    softness = 1.0 + reach / 3
    return blur(shadow, softness, softness) if happens(rng, 0.5) else shadow


@lru_cache(maxsize=1)
def _weight_kernel() -> np.ndarray:
    return cv2.getGaussianKernel(7, 1.6, cv2.CV_32F)


@lru_cache(maxsize=256)
def _weight_ramp(level: int) -> np.ndarray:
    return np.clip((np.arange(256) - level) * 4 + 128, 0, 255).astype(np.uint8)


@lru_cache(maxsize=16)
def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
