"""JSON: all that is known of the pages, as `docs/page.schema.json` says, and back."""

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, ClassVar, Literal

from pydantic import TypeAdapter, ValidationError

from ocr_model.config import Config
from ocr_model.inference.pages import Block, Line, Page, Word

FORMAT, VERSION = "ocr-on-ray pages", 1
_PAGES = TypeAdapter(list[Page])


class JSONConfig(Config):
    """JSON."""

    needs_pictures: ClassVar[bool] = False

    name: Literal["json"] = "json"


def write_json(pages: Sequence[Page]) -> bytes:
    """Return pages as JSON in UTF-8, of which `read_json` makes equal ones."""
    document = {"format": FORMAT, "version": VERSION, "pages": [_page(page) for page in pages]}
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace")  # half a surrogate pair, as JSON escapes it


def read_json(data: bytes) -> list[Page]:
    """Return the pages that `write_json` wrote; texts of lines and pages follow from the words.

    Raises:
        ValueError: It is not such a file, or one of a later version.
    """
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ValueError(f"pages: not JSON in UTF-8 ({error})") from error
    found = (document.get("format"), document.get("version")) if isinstance(document, dict) else ()
    if found != (FORMAT, VERSION):
        raise ValueError(f"pages: expected format {FORMAT!r}, version {VERSION}, got {found}")
    try:
        return _PAGES.validate_python(document.get("pages"))
    except ValidationError as error:
        raise ValueError(f"pages: {error}") from error


def _page(page: Page) -> dict[str, Any]:
    blocks = [_block(block) for block in page.blocks]
    return {**_fields(page), "text": page.text, "blocks": blocks}


def _block(block: Block) -> dict[str, Any]:
    return {"polygon": block.polygon, "lines": [_line(line) for line in block.lines]}


def _line(line: Line) -> dict[str, Any]:
    return {
        "text": line.text,
        "confidence": line.confidence,
        "polygon": line.polygon,
        "words": [_fields(word) for word in line.words],
    }


def _fields(part: Page | Word) -> dict[str, Any]:
    """Return the fields as they are; `asdict` would copy every number of theirs."""
    return {field.name: getattr(part, field.name) for field in fields(part)}
