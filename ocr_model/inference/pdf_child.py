"""The process in which PDFs are drawn, `python -m ocr_model.inference.pdf_child`; it may be killed.

Each request is a line of JSON, the document's bytes behind it where there are any, and so is each
answer, a bitmap's bytes behind it. Nothing is pickled: a document that takes this process over has
not got the parent by that.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from ocr_model.errors import ImageError
from ocr_model.inference.mortality import alarm, die_before_the_parent
from ocr_model.inference.pdf_drawing import draw_page, opened_pdf

Answer = dict[str, Any]
Bitmap = ctypes.Array[ctypes.c_ubyte]

_KILOBYTE = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss


class Artist:
    """Does what is asked: one document is open at a time."""

    def __init__(self, requests: BinaryIO) -> None:
        """Read the bytes of documents from where requests come from."""
        self._requests, self._closing = requests, ExitStack()
        self._document: Any = None  # pypdfium2 has no types
        self._memory_bytes = 0

    def do(self, request: dict[str, Any]) -> tuple[Answer, Bitmap | None]:
        """Answer a request: `open`, `draw` or `close`.

        Raises:
            ImageError: The document or the page cannot be read.
        """
        match request["do"]:
            case "open":
                return self._open(request), None
            case "draw":
                page = request["index"], request["dpi"], request["max_pixels"]
                shape, bitmap = draw_page(self._document, *page)
                return {"shape": shape}, bitmap
            case other:
                assert other == "close"
                self._closing.close()
                return {"may_stay": self._may_stay()}, None

    def _open(self, request: dict[str, Any]) -> Answer:
        self._memory_bytes = request["memory_bytes"]
        _bound_memory(self._memory_bytes)
        path, size = request["path"], request["size"]
        data = self._requests.read(size) if path is None else Path(path)
        opening = opened_pdf(data, request["password"])
        self._document, num_pages = self._closing.enter_context(opening)
        return {"num_pages": num_pages}

    def _may_stay(self) -> bool:
        """Say whether the next document finds memory that former ones have not torn up."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KILOBYTE
        return peak < self._memory_bytes / 2


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more."""
    artist = Artist(requests)
    while line := requests.readline():
        request, bitmap = json.loads(line), None
        try:
            with alarm(request["seconds"]):
                answer, bitmap = artist.do(request)
        except ImageError as error:
            answer = {"error": (error.reason, error.detail)}
        except MemoryError:
            os.abort()  # as PDFium ends where it gets no memory
        answers.write(json.dumps(answer).encode() + b"\n")
        if bitmap is not None:
            answers.write(bitmap)
        answers.flush()


def _bound_memory(num_bytes: int) -> None:
    """Bound what is allocated: libraries do not count, nor what is reserved and never used."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    bound = num_bytes if most == resource.RLIM_INFINITY else min(num_bytes, most)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, most))


def _main() -> None:
    die_before_the_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's end is this process's
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a parent may have ignored or blocked it
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what else is printed is no answer
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    _main()
