import asyncio
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

import pytest

from ocr_model.inference.documents import DocumentConfig
from ocr_model.inference.pages import Page
from ocr_model.inference.pdf_process import PDFBounds
from serve import formats
from serve.backend import Backend
from serve.formats import PageWriter
from serve.limits import LimitsConfig
from serve.messages import PageOptions
from serve.problems import Problem


def _written(document: bytes, documents: DocumentConfig, limits: LimitsConfig) -> bytes:
    pages = [Page(200, 100), Page(0, 0, number=2, error="pdf_too_slow: x")]
    writer = PageWriter(documents, limits)
    return asyncio.run(writer.write("pdf", pages, document, PageOptions()))


def test_a_pdf_shows_the_pictures_at_the_configured_resolution(
    make_pdf: Callable[..., bytes],
) -> None:
    document = make_pdf(b"1 0 0 rg 10 10 50 50 re f", b"")
    written = _written(document, DocumentConfig(dpi=72), LimitsConfig())
    assert written.count(b"/DCTDecode") == 1


def test_an_answer_that_is_not_written_in_time_is_a_problem(
    make_pdf: Callable[..., bytes],
) -> None:
    class Pages:
        async def read(self, document: bytes, options: PageOptions) -> list[Page]:
            return [Page(200, 100)]

    endless = make_pdf(b"0 0 m 190 90 l 10 50 l f " * 300_000, b"")
    documents = DocumentConfig(dpi=72, pdf_bounds=PDFBounds(page_seconds=2))
    limits = LimitsConfig(max_seconds=0.1)
    parts = {"words", "readiness", "batches", "tokens", "admission", "metrics"}
    backend = Backend(
        pages=cast("Any", Pages()),
        writer=PageWriter(documents, limits),
        limits=limits,
        **dict.fromkeys(parts, cast("Any", None)),
    )
    with pytest.raises(Problem) as caught:
        asyncio.run(backend.read_document(endless, PageOptions(), "pdf"))
    assert caught.value.status == HTTPStatus.GATEWAY_TIMEOUT


def test_who_is_gone_holds_a_place_until_the_thread_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else callers who come and go would have more PDFs open than there are places."""
    may_end, begun = threading.Event(), threading.Semaphore(0)

    def write(*_: object) -> bytes:
        begun.release()
        assert may_end.wait(10)
        return b"written"

    monkeypatch.setattr(formats, "_written", write)

    async def come_and_go() -> None:
        writer = PageWriter(DocumentConfig(), LimitsConfig())
        gone = [asyncio.create_task(_as_pdf(writer)) for _ in range(2)]
        for _ in gone:
            assert await asyncio.to_thread(begun.acquire, timeout=10)
        for task in gone:
            task.cancel()
        third = asyncio.create_task(_as_pdf(writer))
        assert not await asyncio.to_thread(begun.acquire, timeout=0.2)
        may_end.set()
        assert await third == b"written"

    asyncio.run(come_and_go())


async def _as_pdf(writer: PageWriter) -> bytes:
    return await writer.write("pdf", [], b"", PageOptions())
