"""Texts set from glyphs: one mask per text, and the box of every character."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from ocr_model.data.draws import between, happens
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
    baseline: int
    """Row of the mask."""


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
    for char in text:
        if previous:
            pen += tracking + (0.0 if _SPACE in (char, previous) else face.kerning(previous, char))
        glyph = face.glyph(char)
        placed.append((glyph, round(pen) + glyph.left))
        pen += glyph.advance
        previous = char
    inked = [(glyph, left) for glyph, left in placed if glyph.mask.size]
    first = min(left for _, left in inked)
    top = min(glyph.top for glyph, _ in inked)
    right = max(left + glyph.mask.shape[1] for glyph, left in inked)
    bottom = max(glyph.top + glyph.mask.shape[0] for glyph, _ in inked)
    mask = np.zeros((bottom - top + 2 * margin, right - first + 2 * margin), np.uint8)
    boxes = []
    for glyph, left in placed:
        x, y = left - first + margin, glyph.top - top + margin
        height, width = glyph.mask.shape
        if not height:  # a space
            baseline = margin - top
            boxes.append((x, baseline - EM_PIXELS // 2, x + glyph.advance, baseline))
            continue
        part = mask[y : y + height, x : x + width]
        np.maximum(part, glyph.mask, out=part)
        ink = glyph.ink
        boxes.append((x + ink[0], y + ink[1], x + ink[2], y + ink[3]))
    ink_box = (margin, margin, mask.shape[1] - margin, mask.shape[0] - margin)
    return Lettering(mask, np.array(boxes, np.float32), ink_box, margin - top)


def change_weight(mask: Mask, amount: float) -> Mask:
    """Make strokes thicker (`amount` up to 1, by some 2 pixels) or thinner (down to -1)."""
    soft = cv2.GaussianBlur(mask, (7, 7), 1.6)
    # Where the blurred edge is cut moves the outline; the slope keeps it smooth.
    level = 128 - 100 * amount
    ramp = np.clip((np.arange(256) - level) * 4 + 128, 0, 255).astype(np.uint8)
    if amount < 0:  # thin strokes would vanish
        thinned: Mask = np.maximum(cv2.LUT(soft, ramp), mask // 2)
        return thinned
    return cv2.LUT(soft, ramp)


def outline(mask: Mask, pixels: int) -> Mask:
    """Thicken a mask by so many pixels on all sides: what a border fills."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * pixels + 1, 2 * pixels + 1))
    return cv2.dilate(mask, kernel)


def cast_shadow(mask: Mask, reach: int, rng: np.random.Generator) -> Mask:
    """Move a mask aside by up to `reach` pixels each way and perhaps soften it."""
    dx, dy = (round(between(rng, -reach, reach)) for _ in range(2))
    height, width = mask.shape
    shadow = np.zeros_like(mask)
    shadow[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)] = mask[
        max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)
    ]
    return cv2.GaussianBlur(shadow, (0, 0), 1.0 + reach / 3) if happens(rng, 0.5) else shadow
