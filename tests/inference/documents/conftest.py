"""Documents of every kind, whose pages tell their number."""

import io
from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw

from ocr_model.inference.documents import DocumentConfig, PageImage, open_pages

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


@pytest.fixture(scope="session")
def only_page() -> Callable[..., PageImage]:
    """Return a function of a document and settings: its page, a point of a PDF per pixel."""

    def open_one(source: object, **settings: object) -> PageImage:
        config = DocumentConfig(dpi=72.0, **settings)  # type: ignore[arg-type]  # of any type
        (page,) = open_pages(source, config)  # type: ignore[arg-type]  # the same
        return page

    return open_one


@pytest.fixture(scope="session")
def number_of() -> Callable[[PageImage], int]:
    """Return a function of a page: which it is, by its colour."""

    def tell(page: PageImage) -> int:
        assert page.pixels is not None, page.error
        return round((255 - int(page.pixels[-5, -5, 2])) / 20)

    return tell


@pytest.fixture(scope="session")
def reason_of() -> Callable[[PageImage], str]:
    """Return a function of a page that has an error: its kind."""

    def tell(page: PageImage) -> str:
        assert page.pixels is None
        return page.error.partition(": ")[0]

    return tell
