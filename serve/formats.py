"""Pages to the bytes of an answer, in any format."""

import json
from collections.abc import Mapping, Sequence

from ocr_model.inference.documents import DocumentConfig, open_pages
from ocr_model.inference.outputs import OutputConfig, output_files
from ocr_model.inference.outputs.alto import ALTOConfig
from ocr_model.inference.outputs.hocr import HOCRConfig
from ocr_model.inference.outputs.page_json import JSONConfig, write_json
from ocr_model.inference.outputs.plain_text import TextConfig
from ocr_model.inference.outputs.searchable_pdf import PDFConfig
from ocr_model.inference.pages import Page

from .limits import LimitsConfig
from .messages import PageOptions
from .protocol import PageFormat

_FORMATS: Mapping[PageFormat, tuple[OutputConfig, str]] = {
    "json": (JSONConfig(), "application/json"),
    "text": (TextConfig(), "text/plain; charset=utf-8"),
    "hocr": (HOCRConfig(), "text/html; charset=utf-8"),
    "alto": (ALTOConfig(), "application/xml"),
    "pdf": (PDFConfig(), "application/pdf"),
}


def media_type(name: PageFormat) -> str:
    """Return a format's media type."""
    return _FORMATS[name][1]


def write_pages(
    name: PageFormat,
    pages: Sequence[Page],
    document: bytes,
    options: PageOptions,
    limits: LimitsConfig,
) -> bytes:
    """Return pages in a format; a PDF has the pictures of `document`, which is opened again."""
    config, _ = _FORMATS[name]
    pictures = None
    if config.needs_pictures:
        documents = DocumentConfig(
            pages=options.pages,
            max_pages=limits.max_pages,
            max_pixels=limits.max_image_pixels,
            **({} if options.dpi is None else {"dpi": options.dpi}),
        )
        pictures = (page.pixels for page in open_pages(document, documents))
    ((_, content),) = output_files(config, "document", pages, pictures or ())
    return content


def pages_as_json(pages: Sequence[Page]) -> list[dict[str, object]]:
    """Return pages as the JSON format has them."""
    loaded: list[dict[str, object]] = json.loads(write_json(pages))["pages"]
    return loaded
