"""Where things are on a page, in the terms that formats have for it."""

import math

from ocr_model.image import Pixels
from ocr_model.inference.pages import Line, Page, Quad

_STRAIGHT_PIXELS = 0.5


def bounds(polygon: Quad, page: Page) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the pixels it touches, within the page."""
    xs, ys = zip(*polygon, strict=True)
    return (
        _within(math.floor(min(xs)), page.width),
        _within(math.floor(min(ys)), page.height),
        _within(math.ceil(max(xs)), page.width),
        _within(math.ceil(max(ys)), page.height),
    )


def is_box(polygon: Quad) -> bool:
    """Say whether its bounds say it all: an upright rectangle that is read from left to right."""
    xs, ys = zip(*polygon, strict=True)
    left, top, right, bottom = min(xs), min(ys), max(xs), max(ys)
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return all(
        math.dist(corner, point) <= _STRAIGHT_PIXELS
        for corner, point in zip(corners, polygon, strict=True)
    )


def text_angle(line: Line) -> float:
    """Return degrees, counter-clockwise, from reading rightwards, in (-180, 180]."""
    (x0, y0), (x1, y1) = line.polygon[:2]
    return math.degrees(math.atan2(y0 - y1, x1 - x0))


def check_size(page: Page, pixels: Pixels) -> None:
    """Raise ValueError where a picture is not the page's."""
    height, width = pixels.shape[:2]
    if (width, height) != (page.width, page.height):
        raise ValueError(
            f"page {page.number} of {page.source!r} is {page.width}x{page.height}, its picture "
            f"{width}x{height}: give the picture that was read"
        )


def _within(value: int, size: int) -> int:
    return min(max(value, 0), size)
