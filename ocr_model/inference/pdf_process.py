"""PDFs drawn in a child process, which is ended where one takes too much time or memory."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, PositiveFloat

from ocr_model.config import Config
from ocr_model.errors import ImageError
from ocr_model.inference.mortality import cause_of_death
from ocr_model.inference.pdf_drawing import Shape

_CHILD = "ocr_model.inference.pdf_child"
_ROOT = Path(__file__).parents[2]  # where it is imported from
_MOST_IDLE = 4
_MIB = 2**20

_Drawn = tuple[Shape, np.ndarray]


class PDFBounds(Config):
    """What PDFium may take, in a child process that is ended where it takes more."""

    page_seconds: PositiveFloat = 20.0
    """To open a document, and to draw each of its pages; such a page has an error."""
    document_seconds: PositiveFloat = 900.0
    """For all pages of a document together, without what else is done with them; the rest is one
    page with an error."""
    memory_bytes: int = Field(2**30, ge=2**27)
    """Of the process; a page that needs more has an error. Linux alone bounds it."""


def open_apart(
    data: bytes | Path, *, dpi: float, max_pixels: int, password: str | None, bounds: PDFBounds
) -> Iterator["partial[_Drawn]"]:
    """Open a PDF in a child process, and give what draws each page, as `open_pdf` does.

    A page that ends the process does not cost the next ones: they are drawn by another.

    Raises:
        ImageError: At the first page, where the document cannot be opened, and at a later one,
            where its time is used up (`pdf_too_slow`).
    """
    document = _Document(data, password, bounds)
    try:
        for index in range(document.open()):
            document.require_time()
            yield partial(document.draw, index, dpi, max_pixels)
    finally:
        document.close()


class _Document:
    """A document that is open in a child process, and opened again in another where one dies."""

    def __init__(self, data: bytes | Path, password: str | None, bounds: PDFBounds) -> None:
        self._data, self._password, self._bounds = data, password, bounds
        self._seconds_left = bounds.document_seconds
        self._child: _Child | None = None

    def open(self) -> int:
        """Return how many pages there are."""
        self.require_time()
        self._child = _take_child()
        path, body = (self._data, b"") if isinstance(self._data, Path) else (None, self._data)
        opening = {
            "path": None if path is None else str(path.absolute()),
            "size": len(body),
            "password": self._password,
            "memory_bytes": self._bounds.memory_bytes,
        }
        answer, _ = self._ask("open", opening, body)
        return int(answer["num_pages"])

    def draw(self, index: int, dpi: float, max_pixels: int) -> _Drawn:
        """Draw a page."""
        if self._child is None:
            self.open()
        page = {"index": index, "dpi": dpi, "max_pixels": max_pixels}
        answer, bitmap = self._ask("draw", page)
        return Shape(*answer["shape"]), bitmap

    def require_time(self) -> None:
        """Raise ImageError where the document's time is used up."""
        if self._seconds_left <= 0:
            most = self._bounds.document_seconds
            raise ImageError("pdf_too_slow", f"more than {most:g} s, the rest is unread")

    def close(self) -> None:
        """Let the child have the next document."""
        child, self._child = self._child, None
        if child is None:
            return
        try:
            answer, _ = child.ask({"do": "close", "seconds": self._bounds.page_seconds})
        except EOFError:
            child.end()
            return
        if answer["may_stay"] and len(_idle) < _MOST_IDLE:
            _idle.append(child)
        else:
            child.end()

    def _ask(
        self, what: str, request: dict[str, Any], body: bytes = b""
    ) -> tuple[dict[str, Any], np.ndarray]:
        self.require_time()
        assert self._child is not None, "the document is open"
        seconds = min(self._bounds.page_seconds, self._seconds_left)
        began = time.monotonic()
        try:
            answer = self._child.ask({"do": what, "seconds": seconds, **request}, body)
        except EOFError:
            child, self._child = self._child, None
            raise self._explained(child.end(), seconds) from None
        finally:
            self._seconds_left -= time.monotonic() - began
        if "error" in answer[0]:
            raise ImageError(*answer[0]["error"])
        return answer

    def _explained(self, code: int, seconds: float) -> ImageError:
        match -code:
            case signal.SIGALRM:
                return ImageError("pdf_too_slow", f"PDFium was not done in {seconds:.3g} s")
            case signal.SIGABRT:  # PDFium's end where it gets no memory
                most = self._bounds.memory_bytes / _MIB
                return ImageError("pdf_too_large", f"PDFium needs more than {most:.0f} MiB")
        return ImageError("pdf_crashed", f"PDFium ended by {cause_of_death(code)}")


class _Child:
    """A process that draws one document after the other."""

    def __init__(self) -> None:
        paths = [str(_ROOT), *filter(None, sys.path)]
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        assert isinstance(process.stdin, io.BufferedWriter), "a pipe"
        assert isinstance(process.stdout, io.BufferedReader), "a pipe"
        self._process, self._requests, self._answers = process, process.stdin, process.stdout
        self._owner = os.getpid()
        self._is_busy = False

    @property
    def is_ready(self) -> bool:
        """Not of a process that was forked from its parent, which has the same pipes; and alive."""
        return self._owner == os.getpid() and self._process.poll() is None

    def ask(self, request: dict[str, Any], body: bytes = b"") -> tuple[dict[str, Any], np.ndarray]:
        """Return the answer to a request, and the bytes behind it.

        Raises:
            EOFError: The process has ended, or owes the answer to a request that was broken off.
        """
        if self._is_busy:
            raise EOFError
        self._is_busy = True
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.write(body)
            self._requests.flush()
        except BrokenPipeError as error:
            raise EOFError from error
        line = self._answers.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        answer = json.loads(line)
        size = Shape(*answer["shape"]).num_bytes if "shape" in answer else 0
        following = np.empty(size, np.uint8)
        if self._answers.readinto(following.data) < size:
            raise EOFError
        self._is_busy = False
        return answer, following

    def end(self) -> int:
        """End the process; return its exit code, which is its own where it has ended already."""
        if self._is_busy:
            self._process.kill()
        with suppress(OSError):  # what it did not take
            self._requests.close()
        self._answers.close()
        return self._process.wait()


_idle: list[_Child] = []


def _take_child() -> _Child:
    """Return a child that nobody uses, or a new one."""
    while True:
        try:
            child = _idle.pop()
        except IndexError:
            return _Child()
        if child.is_ready:
            return child
