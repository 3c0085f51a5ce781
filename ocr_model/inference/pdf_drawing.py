"""PDF pages to bitmaps, by PDFium, which no two threads may call at once.

Nothing heavy is imported, numpy included: the child process of `pdf_process` starts in a tenth of a
second of CPU time.
"""

import ctypes
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_raw

from ocr_model.errors import ImageError

PDFIUM_LOCK = threading.RLock()
"""Held during every call of PDFium in this process. A document that is forgotten half read is
closed by the garbage collector, perhaps on the thread that holds it."""

_POINTS_PER_INCH = 72
_PICTURE_FACTOR = 4  # a scan on a page may have so many times the pixels that it is rendered to
_LOCKED = (pdfium_raw.FPDF_ERR_PASSWORD, pdfium_raw.FPDF_ERR_SECURITY)


class Shape(NamedTuple):
    """How a bitmap lies in its bytes, and at which resolution it is."""

    height: int
    width: int
    stride: int
    """Bytes of a row."""
    channels: int
    """Red, green, blue, and perhaps one of no meaning."""
    dpi: float
    limit: str
    """What a limit changed, or nothing."""

    @property
    def num_bytes(self) -> int:
        """Of the whole bitmap."""
        return self.height * self.stride


@contextmanager
def opened_pdf(data: bytes | Path, password: str | None) -> Iterator[tuple[Any, int]]:
    """Open a document, and give it with the number of its pages.

    Raises:
        ImageError: It is broken (`undecodable`) or `encrypted`.
    """
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


def draw_page(
    document: Any,  # noqa: ANN401  # pypdfium2 has no types
    index: int,
    dpi: float,
    max_pixels: int,
) -> tuple[Shape, "ctypes.Array[ctypes.c_ubyte]"]:
    """Draw a page, counted from 0.

    Filled-in forms and annotations are drawn, a page's own rotation is applied, and what is
    transparent is white.

    Raises:
        ImageError: It is broken (`undecodable`), `empty`, or has a picture that is `too_large`.
    """
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
            bitmap.close()  # its bytes are Python's, and stay
        except pdfium.PdfiumError as error:
            raise ImageError("undecodable", str(error)) from error
        finally:
            page.close()
    used = scale * _POINTS_PER_INCH
    limit = f"a page of {width:.0f}x{height:.0f} points was rendered at {used:.3g} dpi, not {dpi:g}"
    limit = limit if used < dpi * (1 - 1e-9) else ""
    size = bitmap.height, bitmap.width, bitmap.stride, bitmap.n_channels
    return Shape(*size, used, limit), bitmap.buffer


def _check_pictures(page: Any, max_pixels: int) -> None:  # noqa: ANN401  # pypdfium2 has no types
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
