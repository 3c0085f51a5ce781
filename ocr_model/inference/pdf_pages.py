"""PDF pages to pixels, in a child process or in this one."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ocr_model.image import Pixels
from ocr_model.inference.pdf_drawing import Shape, draw_page, opened_pdf
from ocr_model.inference.pdf_process import PDFBounds, open_apart

Rendering = Callable[[], tuple[Pixels, float, str]]
"""Renders one page: pixels, their dpi, and what a limit changed, or nothing. Raises ImageError."""

_Draw = Callable[[], tuple[Shape, np.ndarray]]


def open_pdf(
    data: bytes | Path,
    *,
    dpi: float,
    max_pixels: int,
    password: str | None,
    bounds: PDFBounds | None,
) -> Iterator[Rendering]:
    """Open a PDF and give its pages, which are rendered when they are called for.

    The document stays open until the iterator ends or is closed. `bounds` are those of a child
    process; None: it is opened in this one, where nothing ends what takes too long.

    Raises:
        ImageError: At the first page, where the document is broken (`undecodable`), `encrypted`, or
            beyond the bounds (`pdf_too_slow`, `pdf_too_large`, `pdf_crashed`); at a later one where
            the document's time is used up.
    """
    pages: Iterator[_Draw]
    if bounds is None:
        pages = _open_here(data, dpi, max_pixels, password)
    else:
        pages = open_apart(data, dpi=dpi, max_pixels=max_pixels, password=password, bounds=bounds)
    with closing(pages):  # type: ignore[type-var]  # generators, which can be closed
        for draw in pages:
            yield partial(_rendered, draw)


def _open_here(
    data: bytes | Path, dpi: float, max_pixels: int, password: str | None
) -> Iterator[_Draw]:
    with opened_pdf(data, password) as (document, num_pages):
        for index in range(num_pages):
            yield partial(_draw_here, document, index, dpi, max_pixels)


def _draw_here(
    document: Any,  # noqa: ANN401  # pypdfium2 has no types
    index: int,
    dpi: float,
    max_pixels: int,
) -> tuple[Shape, np.ndarray]:
    shape, bitmap = draw_page(document, index, dpi, max_pixels)
    return shape, np.frombuffer(memoryview(bitmap), np.uint8)


def _rendered(draw: _Draw) -> tuple[Pixels, float, str]:
    shape, bitmap = draw()
    rows = bitmap.reshape(shape.height, shape.stride)[:, : shape.width * shape.channels]
    pixels = rows.reshape(shape.height, shape.width, shape.channels)[..., :3]
    return np.ascontiguousarray(pixels), shape.dpi, shape.limit
