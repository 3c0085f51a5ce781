"""Pages to the bytes of an answer, in any format."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence

from ocr_model.image import Pixels
from ocr_model.inference.documents import DocumentConfig
from ocr_model.inference.outputs import OutputConfig, output_files
from ocr_model.inference.outputs.alto import ALTOConfig
from ocr_model.inference.outputs.hocr import HOCRConfig
from ocr_model.inference.outputs.page_json import JSONConfig, write_json
from ocr_model.inference.outputs.pictures import open_pictures
from ocr_model.inference.outputs.plain_text import TextConfig
from ocr_model.inference.outputs.searchable_pdf import PDFConfig
from ocr_model.inference.pages import Page

from .limits import LimitsConfig
from .messages import PageOptions
from .protocol import PageFormat

_OPENED_AT_A_TIME = 2  # each may take the memory that `pdf_bounds` allows

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


class PageWriter:
    """Writes the answers of one replica of the ingress."""

    def __init__(self, documents: DocumentConfig, limits: LimitsConfig) -> None:
        """Take how documents are opened, which those are again whose pictures an answer shows."""
        self._documents, self._limits = documents, limits
        self._places = asyncio.Semaphore(_OPENED_AT_A_TIME)

    async def write(
        self, name: PageFormat, pages: Sequence[Page], document: bytes, options: PageOptions
    ) -> bytes:
        """Return pages in a format; a PDF has the pictures of `document`."""
        config, _ = _FORMATS[name]
        documents = self._limits.documents(self._documents, options)
        pictures = open_pictures(document, pages, documents)
        if not config.needs_pictures:
            return await asyncio.to_thread(_written, config, pages, pictures)
        await self._places.acquire()
        writing = asyncio.create_task(asyncio.to_thread(_written, config, pages, pictures))
        writing.add_done_callback(self._leave)
        return await asyncio.shield(writing)

    def _leave(self, writing: "asyncio.Task[bytes]") -> None:
        """Give the place back when the thread has ended, which goes on when its caller is gone."""
        self._places.release()
        if not writing.cancelled():
            writing.exception()  # which nobody else may ask for


def _written(
    config: OutputConfig, pages: Sequence[Page], pictures: Iterator[Pixels | None]
) -> bytes:
    ((_, content),) = output_files(config, "document", pages, pictures)
    return content


def pages_as_json(pages: Sequence[Page]) -> list[dict[str, object]]:
    """Return pages as the JSON format has them."""
    loaded: list[dict[str, object]] = json.loads(write_json(pages))["pages"]
    return loaded
