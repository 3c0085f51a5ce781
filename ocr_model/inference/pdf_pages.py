"""PDF pages to pixels, by PDFium, which no two threads may call at once."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_raw

from ocr_model.errors import ImageError
from ocr_model.image import Pixels

PDFIUM_LOCK = threading.RLock()
"""Held during every call of PDFium in this process. A document that is forgotten half read is
closed by the garbage collector, perhaps on the thread that holds it."""

_POINTS_PER_INCH = 72
_PICTURE_FACTOR = 4  # a scan on a page may have so many times the pixels that it is rendered to
_LOCKED = (pdfium_raw.FPDF_ERR_PASSWORD, pdfium_raw.FPDF_ERR_SECURITY)


Rendering = Callable[[], tuple[Pixels, float, str]]
"""Renders one page: pixels, their dpi, and what a limit changed, or nothing. Raises ImageError."""


def open_pdf(
    data: bytes | Path, *, dpi: float, max_pixels: int, password: str | None
) -> Iterator[Rendering]:
    """Open a PDF and give its pages, which are rendered when they are called for.

    The document stays open until the iterator ends or is closed. Filled-in forms and annotations
    are drawn, a page's own rotation is applied, and what is transparent is white.

    Raises:
        ImageError: At the first page, where the document is broken (`undecodable`) or `encrypted`.
    """
    with _opened(data, password) as (document, num_pages):
        for index in range(num_pages):
            yield partial(_render, document, index, dpi, max_pixels)


@contextmanager
def _opened(data: bytes | Path, password: str | None) -> Iterator[tuple[Any, int]]:
    with PDFIUM_LOCK:
        try:
            document = pdfium.PdfDocument(data, password=password)
        except pdfium.PdfiumError as error:
            if error.err_code in _LOCKED:
                detail = "the password is wrong" if password else "set documents.password_variable"
                raise ImageError("encrypted", detail) from error
            raise ImageError("undecodable", str(error)) from error
    try:
        with PDFIUM_LOCK:
            document.init_forms()
            num_pages = len(document)
        yield document, num_pages
    finally:
        with PDFIUM_LOCK:
            document.close()


def _render(
    document: Any,  # noqa: ANN401  # pypdfium2 has no types
    index: int,
    dpi: float,
    max_pixels: int,
) -> tuple[Pixels, float, str]:
    with PDFIUM_LOCK:
        try:
            page = document[index]
        except pdfium.PdfiumError as error:
            raise ImageError("undecodable", str(error)) from error
        try:
            _check_pictures(page, max_pixels)
            width, height = page.get_size()
            scale = _scale(width, height, dpi / _POINTS_PER_INCH, max_pixels)
            bitmap = page.render(scale=scale, rev_byteorder=True)
            pixels = np.array(bitmap.to_numpy()[..., :3])  # a copy: PDFium frees its own
            bitmap.close()
        except pdfium.PdfiumError as error:
            raise ImageError("undecodable", str(error)) from error
        finally:
            page.close()
    used = scale * _POINTS_PER_INCH
    limit = f"a page of {width:.0f}x{height:.0f} points was rendered at {used:.3g} dpi, not {dpi:g}"
    return pixels, used, limit if used < dpi * (1 - 1e-9) else ""


def _check_pictures(page: Any, max_pixels: int) -> None:  # noqa: ANN401  # as above
    """Refuse what PDFium would unpack as a whole, before it does; it asks no one about memory."""
    for picture in page.get_objects(filter=[pdfium_raw.FPDF_PAGEOBJ_IMAGE]):
        width, height = picture.get_px_size()
        if width * height > _PICTURE_FACTOR * max_pixels:
            detail = f"a picture of {width}x{height} on the page, at most {_PICTURE_FACTOR} times "
            raise ImageError("too_large", f"{detail}{max_pixels} pixels")


def _scale(width: float, height: float, wanted: float, max_pixels: int) -> float:
    """Return pixels per point, as wanted or as the bound allows."""
    if not (0 < width < math.inf and 0 < height < math.inf):
        raise ImageError("empty", f"a page of {width:g}x{height:g} points")
    scale = wanted
    while math.ceil(width * scale) * math.ceil(height * scale) > max_pixels:
        fitting = math.sqrt(max_pixels / (width * height))
        scale = min(fitting, scale * 0.99)  # a side that is one pixel shrinks no further
    return scale
