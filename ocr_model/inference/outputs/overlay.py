"""Overlay: the picture with a box around each word, and beside it what was read, in its place."""

import io
import math
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Literal

import cv2
import matplotlib as mpl
import numpy as np
from fontTools.ttLib import TTFont
from jaxtyping import Float32, UInt8
from PIL import Image, ImageDraw, ImageFont

from ocr_model.config import Config
from ocr_model.image import Pixels
from ocr_model.inference.outputs.places import check_size
from ocr_model.inference.pages import Page, Word
from ocr_model.visualize.overlays import overlay_quads

Colour = tuple[int, int, int]
Corners = Float32[np.ndarray, "4 2"]

_CLASSES: tuple[tuple[float, Colour, str], ...] = (
    (0.9, (26, 127, 55), "90 % or surer"),
    (0.6, (191, 120, 0), "60 to 90 %"),
    (0.0, (196, 50, 10), "less sure"),
)
"""Least confidence, colour, and what the legend says."""

_WORD_PIXELS = 20  # that the middle word is high at least, if the picture may grow so far
_MOST_SCALE = 3.0
_MOST_PIXELS = 12_000_000  # of one of the two halves
_LEGEND_PIXELS, _GAP_PIXELS = 28, 4
_LEAST_FONT, _MOST_FONT, _FONT_SHARE = 6, 96, 0.86  # a line of the face is so much higher


class OverlayConfig(Config):
    """A PNG per page."""

    needs_pictures: ClassVar[bool] = True

    name: Literal["overlay"] = "overlay"


def draw_overlay(page: Page, pixels: Pixels | None) -> bytes:
    """Return a PNG: on the left the picture and boxes, on the right the texts on white.

    Colours say how sure a word is; the legend below says which. Small pictures are enlarged until
    texts can be read. A page that could not be read is its error on white.

    Raises:
        ValueError: The picture is not of the page's size.
    """
    if pixels is None:
        return _png(_message(page.error or "no picture"))
    check_size(page, pixels)
    scale = _scale(page)
    width, height = max(1, round(page.width * scale)), max(1, round(page.height * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    left = cv2.resize(pixels, (width, height), interpolation=interpolation)
    canvas = np.full((height + _LEGEND_PIXELS, 2 * width + _GAP_PIXELS, 3), 255, np.uint8)
    canvas[:height, width : width + _GAP_PIXELS] = 160
    right = canvas[:height, width + _GAP_PIXELS :]
    for least, colour, _ in _CLASSES[::-1]:
        words = [word for word in page.words if _class(word)[0] == least]
        quads = np.array([word.polygon for word in words], np.float32).reshape(-1, 4, 2) * scale
        left = overlay_quads(left, quads, colour=colour)
        for word, quad in zip(words, quads, strict=True):
            _draw_text(right, word.text, quad, colour)
    canvas[:height, :width] = left
    canvas[height:] = _legend(canvas.shape[1])
    return _png(canvas)


def _scale(page: Page) -> float:
    heights = [float(np.hypot(*np.subtract(w.polygon[0], w.polygon[3]))) for w in page.words]
    wanted = _WORD_PIXELS / max(1.0, float(np.median(heights))) if heights else 1.0
    most = math.sqrt(_MOST_PIXELS / (page.width * page.height))
    return min(max(1.0, wanted), _MOST_SCALE, most)


def _class(word: Word) -> tuple[float, Colour, str]:
    return next((entry for entry in _CLASSES if word.confidence >= entry[0]), _CLASSES[-1])


def _draw_text(canvas: Pixels, text: str, quad: Corners, colour: Colour) -> None:
    """Write into a quad, squeezed where the text is too long, and never stretched."""
    across, up = float(np.hypot(*(quad[1] - quad[0]))), float(np.hypot(*(quad[3] - quad[0])))
    mask = _text_mask(text, int(min(max(_FONT_SHARE * up, _LEAST_FONT), _MOST_FONT)))
    if mask is None or across < 1 or up < 1:
        return
    rows, columns = mask.shape
    share = min(1.0, columns * up / rows / across)  # of the quad that is written on
    corners = quad.copy()
    corners[1], corners[2] = (
        quad[0] + share * (quad[1] - quad[0]),
        quad[3] + share * (quad[2] - quad[3]),
    )
    height, width = canvas.shape[:2]
    left, top = np.clip(np.floor(corners.min(0)).astype(int), 0, (width, height))
    right, bottom = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, (width, height))
    if right <= left or bottom <= top:
        return
    flat = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    place = cv2.getPerspectiveTransform(flat, corners - np.array([left, top], np.float32))
    size = (int(right - left), int(bottom - top))
    ink = cv2.warpPerspective(mask, place, size, flags=cv2.INTER_LINEAR)[..., None] / 255
    part = canvas[top:bottom, left:right]
    part[:] = (part * (1 - ink) + np.array(colour) * ink).astype(np.uint8)


def _text_mask(text: str, pixels: int) -> UInt8[np.ndarray, "rows columns"] | None:
    """Draw a text's ink, as high as a line of it; None where there is none."""
    font, drawable = _font(pixels), _glyphs()
    text = "".join(char if ord(char) in drawable else "□" for char in text)
    columns = int(np.ceil(font.getlength(text)))
    if columns < 1:
        return None
    ascent, descent = font.getmetrics()
    image = Image.new("L", (columns, ascent + descent))
    ImageDraw.Draw(image).text((0, ascent), text, 255, font, anchor="ls")
    return np.array(image)


def _legend(width: int) -> Pixels:
    image = Image.new("RGB", (width, _LEGEND_PIXELS), "white")
    draw, x = ImageDraw.Draw(image), 8
    for _, colour, title in _CLASSES:
        draw.rectangle((x, 8, x + 12, 20), fill=colour)
        draw.text((x + 18, 14), title, "black", _font(13), anchor="lm")
        x += 40 + int(_font(13).getlength(title))
    return np.array(image)


def _message(text: str) -> Pixels:
    image = Image.new("RGB", (640, 40), "white")
    ImageDraw.Draw(image).text((8, 20), text, _CLASSES[-1][1], _font(13), anchor="lm")
    return np.array(image)


def _png(picture: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


@lru_cache(maxsize=128)
def _font(pixels: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_face(), pixels, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    with TTFont(_face(), lazy=True) as file:
        return frozenset(file.getBestCmap())


def _face() -> Path:
    """Return matplotlib's, which every installation has."""
    return Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
