"""Searchable PDF: each picture with invisible text over it, in the words' places.

One glyph, a box, stands for all characters, and a table says which Unicode each code means: so any
script copies out right, and no font file is needed. Written by PDFium, which reads our PDFs anyway
and has all that this takes: a font with a table of one's own, render mode 3, a matrix per word.
"""

import ctypes
import io
import math
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal

import cv2
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_raw
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib.tables._g_l_y_f import Glyph
from pydantic import Field

from ocr_model.config import Config
from ocr_model.errors import OCRError
from ocr_model.image import Pixels
from ocr_model.inference.outputs.places import check_size
from ocr_model.inference.outputs.xml_text import allowed
from ocr_model.inference.pages import Page, Word
from ocr_model.inference.pdf_drawing import PDFIUM_LOCK

_POINTS_PER_INCH = 72
_MOST_POINTS = 14_400  # of a page's side (PDF 1.7, annex C)
_A4 = (595.0, 842.0)
_ADVANCE, _ASCENT, _DESCENT = 500, 800, 200  # of the one glyph, in thousandths of its height
_GAP_BEHIND = (
    0.15  # of a word's height stays free: poppler joins words closer than 0.1, spaces or no
)
_LEAST_POINTS = 0.01
_MOST_CHARS = 65_535  # codes have two bytes
_RIGHT_TO_LEFT = {"R", "AL"}


class PDFConfig(Config):
    """Searchable PDF."""

    needs_pictures: ClassVar[bool] = True

    name: Literal["pdf"] = "pdf"
    dpi: float = Field(200.0, ge=10, le=2400)
    """Pixels per inch of the pictures, which decides how large the pages are on paper."""
    jpeg_quality: int = Field(85, ge=1, le=100)
    """Of the pictures."""


def write_pdf(
    pages: Sequence[Page], pictures: Iterable[Pixels | None], config: PDFConfig | None = None
) -> bytes:
    """Return a PDF that shows the pictures and copies out as the pages' text, in reading order.

    A page without a picture has its text alone; one that could not be read at all is a blank A4.
    A page that was read turned is shown upright. Pictures are asked for one at a time and kept as
    JPEGs. Text from right to left is laid out so; what XML forbids (control characters) is U+FFFD,
    since readers of PDFs drop it.

    Raises:
        ValueError: There are more pages than pictures, or fewer, or one has another size; or there
            are more than 65,534 different characters.
    """
    config = config or PDFConfig()
    chars = sorted({char for page in pages for word in page.words for char in allowed(word.text)})
    if len(chars) >= _MOST_CHARS:
        raise ValueError(f"{len(chars)} different characters, at most {_MOST_CHARS - 1} in a PDF")
    codes = {char: code for code, char in enumerate([" ", *chars], 1)}
    with PDFIUM_LOCK:
        document = pdfium.PdfDocument.new()
        font = _load_font(document, list(codes))
    try:
        for page, pixels in zip(pages, pictures, strict=True):
            jpeg = None if pixels is None else _jpeg(page, pixels, config.jpeg_quality)
            with PDFIUM_LOCK:
                _add_page(document, font, page, jpeg, codes, config.dpi)
        return _saved(document)
    finally:
        with PDFIUM_LOCK:
            pdfium_raw.FPDFFont_Close(font)
            document.close()


def _saved(document: Any) -> bytes:  # noqa: ANN401  # pypdfium2 has no types
    buffer = io.BytesIO()
    with PDFIUM_LOCK:
        document.save(buffer)
    return buffer.getvalue()


def _jpeg(page: Page, pixels: Pixels, quality: int) -> bytes:
    check_size(page, pixels)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    is_done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    if not is_done:
        raise OCRError(f"page {page.number}: no JPEG of {page.width}x{page.height} pixels")
    return data.tobytes()


def _add_page(
    document: Any,  # noqa: ANN401  # pypdfium2 has no types
    font: Any,  # noqa: ANN401  # pypdfium2 has no types
    page: Page,
    jpeg: bytes | None,
    codes: dict[str, int],
    dpi: float,
) -> None:
    longest = max(page.width, page.height)
    points = _POINTS_PER_INCH / max(dpi, _POINTS_PER_INCH * longest / _MOST_POINTS)  # per pixel
    width, height = (page.width * points, page.height * points) if longest else _A4
    sheet = document.new_page(width, height)
    if jpeg is not None:
        image = pdfium.PdfImage.new(document)
        image.load_jpeg(io.BytesIO(jpeg), inline=True)
        image.set_matrix(pdfium.PdfMatrix().scale(width, height))
        sheet.insert_obj(image)
    for word in page.words:
        if word.text:
            text = f"{_laid_out(word.text)} "  # or what is close by would be the same word
            matrix = _matrix(word, height, points)
            _add_text(document, sheet, font, [codes[char] for char in text], matrix)
    sheet.set_rotation(page.rotation)
    sheet.gen_content()
    sheet.close()


def _add_text(
    document: Any,  # noqa: ANN401  # pypdfium2 has no types
    sheet: Any,  # noqa: ANN401  # pypdfium2 has no types
    font: Any,  # noqa: ANN401  # pypdfium2 has no types
    codes: list[int],
    matrix: tuple[float, ...],
) -> None:
    text = pdfium_raw.FPDFPageObj_CreateTextObj(document, font, ctypes.c_float(1.0))
    array = (ctypes.c_uint32 * len(codes))(*codes)
    if not pdfium_raw.FPDFText_SetCharcodes(text, array, len(codes)):
        raise OCRError(f"PDFium took no text of {len(codes)} characters")
    pdfium_raw.FPDFTextObj_SetTextRenderMode(text, pdfium_raw.FPDF_TEXTRENDERMODE_INVISIBLE)
    pdfium_raw.FPDFPageObj_SetMatrix(text, ctypes.byref(pdfium_raw.FS_MATRIX(*matrix)))
    pdfium_raw.FPDFPage_InsertObject(sheet, text)  # which owns it from now on


def _matrix(word: Word, page_height: float, points: float) -> tuple[float, ...]:
    """Return what brings text of size 1 into the word's quad; y points upwards in PDF."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = (
        (x * points, page_height - y * points) for x, y in word.polygon
    )
    along = ((x1 - x0 + x2 - x3) / 2, (y1 - y0 + y2 - y3) / 2)  # the middle of both edges
    up = ((x0 - x3 + x1 - x2) / 2, (y0 - y3 + y1 - y2) / 2)
    if math.hypot(*along) < _LEAST_POINTS:
        along = (_LEAST_POINTS, 0.0)
    if math.hypot(*up) < _LEAST_POINTS:
        up = (-along[1], along[0])
    gap = min(_GAP_BEHIND * math.hypot(*up) / math.hypot(*along), 0.5)
    advance = len(word.text) * _ADVANCE / 1000 / (1 - gap)
    descent = _DESCENT / 1000
    return (
        along[0] / advance,
        along[1] / advance,
        up[0],
        up[1],
        x3 + descent * up[0],
        y3 + descent * up[1],
    )


def _laid_out(text: str) -> str:
    """Return a word as it stands from left to right: as PDFs hold text, and readers expect it."""
    directions = {unicodedata.bidirectional(char) for char in text}
    text = allowed(text)
    return text[::-1] if directions & _RIGHT_TO_LEFT and "L" not in directions else text


def _load_font(document: Any, chars: list[str]) -> Any:  # noqa: ANN401  # pypdfium2 has no types
    file, table = _box_font(), _unicode_table(chars).encode()
    glyphs = b"\0\0" + b"\0\1" * len(chars)  # of each code
    font = pdfium_raw.FPDFText_LoadCidType2Font(
        document, _array(file), len(file), table, _array(glyphs), len(glyphs)
    )
    if not font:
        raise OCRError(f"PDFium took no font of {len(chars)} characters")
    return font


def _array(data: bytes) -> Any:  # noqa: ANN401  # ctypes makes its type
    return (ctypes.c_ubyte * len(data)).from_buffer_copy(data)


def _unicode_table(chars: list[str]) -> str:
    """Return the CMap that says which character each code means (Adobe Technical Note 5411)."""
    entries = [
        f"<{code:04X}> <{char.encode('utf-16-be').hex()}>" for code, char in enumerate(chars, 1)
    ]
    parts = [entries[start : start + 100] for start in range(0, len(entries), 100)]  # its limit
    return "\n".join(
        [
            "/CIDInit /ProcSet findresource begin 12 dict begin begincmap",
            "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def",
            "/CMapName /Adobe-Identity-UCS def /CMapType 2 def",
            "1 begincodespacerange <0000> <FFFF> endcodespacerange",
            *("\n".join([f"{len(part)} beginbfchar", *part, "endbfchar"]) for part in parts),
            "endcmap CMapName currentdict /CMap defineresource pop end end",
        ]
    )


@lru_cache(maxsize=1)
def _box_font() -> bytes:
    """Make a TrueType font of one box, half as wide as it is high, which is never painted.

    A blank glyph would do for poppler, but PDFium leaves out what covers no area.
    """
    pen = TTGlyphPen(None)
    corners = ((0, -_DESCENT), (0, _ASCENT), (_ADVANCE, _ASCENT), (_ADVANCE, -_DESCENT))
    pen.moveTo(corners[0])
    for corner in corners[1:]:
        pen.lineTo(corner)
    pen.closePath()
    builder = FontBuilder(_ASCENT + _DESCENT, isTTF=True)
    builder.setupGlyphOrder([".notdef", "box"])
    builder.setupCharacterMap({ord(" "): "box"})
    builder.setupGlyf({".notdef": Glyph(), "box": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (_ADVANCE, 0), "box": (_ADVANCE, 0)})
    builder.setupHorizontalHeader(ascent=_ASCENT, descent=-_DESCENT)
    builder.setupNameTable({"familyName": "Box", "styleName": "Regular", "psName": "Box"})
    builder.setupOS2(sTypoAscender=_ASCENT, sTypoDescender=-_DESCENT)
    builder.setupPost()
    buffer = io.BytesIO()
    builder.save(buffer)
    return buffer.getvalue()
