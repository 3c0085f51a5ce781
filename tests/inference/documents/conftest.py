"""Documents of every kind, whose pages tell their number."""

import io
from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw

RED = (255, 0, 0)


def picture(number: int = 1, size: tuple[int, int] = (80, 40)) -> Image.Image:
    """Return a page that is as blue as its number is high, its left upper corner red."""
    image = Image.new("RGB", size, (255, 255, 255 - 20 * number))
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 4, size[1] // 4), fill=RED)
    return image


def encoded(kind: str, num_pages: int = 1, size: tuple[int, int] = (80, 40)) -> bytes:
    buffer = io.BytesIO()
    first, *others = [picture(number, size) for number in range(1, num_pages + 1)]
    several = {"save_all": True, "append_images": others} if others else {}
    options = {"resolution": 72} if kind == "PDF" else {}  # a point per pixel
    first.save(buffer, kind, **several, **options)
    return buffer.getvalue()


@pytest.fixture(scope="session")
def make_picture() -> Callable[..., Image.Image]:
    return picture


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Return a function of a kind, a number of pages and their size: the file."""
    return encoded
