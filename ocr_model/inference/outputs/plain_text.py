"""Plain text: lines in reading order."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from ocr_model.config import Config
from ocr_model.inference.pages import Page


class TextConfig(Config):
    """Plain text."""

    needs_pictures: ClassVar[bool] = False

    name: Literal["text"] = "text"


def write_text(pages: Sequence[Page]) -> bytes:
    """Return the text in UTF-8, with an empty line between blocks, a form feed between pages.

    A page that could not be read is empty.
    """
    return "\f".join(f"{page.text}\n" for page in pages).encode(errors="replace")
