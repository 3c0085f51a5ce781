import asyncio
from collections.abc import Callable

from ocr_model.inference.documents import DocumentConfig
from ocr_model.inference.pages import Page
from ocr_model.inference.pdf_process import PDFBounds
from serve.formats import PageWriter
from serve.limits import LimitsConfig
from serve.messages import Fault, PageOptions


def _written(document: bytes, documents: DocumentConfig, limits: LimitsConfig) -> bytes | Fault:
    pages = [Page(200, 100), Page(0, 0, number=2, error="pdf_too_slow: x")]
    writer = PageWriter(documents, limits)
    return asyncio.run(writer.write("pdf", pages, document, PageOptions()))


def test_a_pdf_shows_the_pictures_at_the_configured_resolution(
    make_pdf: Callable[..., bytes],
) -> None:
    document = make_pdf(b"1 0 0 rg 10 10 50 50 re f", b"")
    written = _written(document, DocumentConfig(dpi=72), LimitsConfig())
    assert isinstance(written, bytes)
    assert written.count(b"/DCTDecode") == 1


def test_an_answer_that_is_not_written_in_time_is_a_fault(make_pdf: Callable[..., bytes]) -> None:
    endless = make_pdf(b"0 0 m 190 90 l 10 50 l f " * 300_000, b"")
    documents = DocumentConfig(dpi=72, pdf_bounds=PDFBounds(page_seconds=2))
    written = _written(endless, documents, LimitsConfig(max_seconds=0.1))
    assert written == Fault("timeout", "no answer was written in 0.1 s")
