import hashlib
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_raw
import pytest

from ocr_model.errors import ConfigError
from ocr_model.inference.documents import DocumentConfig, PageImage, open_pages

Encode = Callable[..., bytes]
OnlyPage = Callable[..., PageImage]
NumberOf = Callable[[PageImage], int]
ReasonOf = Callable[[PageImage], str]

RED = (255, 0, 0)


def _pdf(width: float, height: float, rotation: int = 0) -> bytes:
    with pdfium.PdfDocument.new() as document:
        page = document.new_page(width, height)
        page.set_rotation(rotation)
        rect = pdfium_raw.FPDFPageObj_CreateNewRect(0, height * 3 / 4, width / 4, height / 4)
        pdfium_raw.FPDFPageObj_SetFillColor(rect, *RED, 255)
        pdfium_raw.FPDFPath_SetDrawMode(rect, pdfium_raw.FPDF_FILLMODE_WINDING, False)
        pdfium_raw.FPDFPage_InsertObject(page, rect)
        page.gen_content()
        buffer = io.BytesIO()
        document.save(buffer)
    return buffer.getvalue()


def _form(value: bytes) -> bytes:
    """Return a PDF with one text field, which has no appearance of its own."""
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[4 0 R]/NeedAppearances "
        b"true/DR<</Font<</H 5 0 R>>>>/DA(/H 12 Tf 0 g)>>>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 50]/Annots[4 0 R]>>endobj\n"
        b"4 0 obj<</Type/Annot/Subtype/Widget/FT/Tx/T(a)/Rect[10 10 90 40]/F 4/P 3 0 R"
        b"/DA(/H 12 Tf 0 g)" + value + b">>endobj\n"
        b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n"
        b"trailer<</Root 1 0 R>>\n%%EOF"
    )


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_pdf_is_rendered_upright_at_the_resolution_that_is_asked_for(rotation: int) -> None:
    (page,) = open_pages(_pdf(100, 60, rotation), DocumentConfig(dpi=144.0))
    assert page.pixels is not None
    assert page.dpi == 144
    assert page.pixels.shape == ((200, 120, 3) if rotation % 180 else (120, 200, 3))
    corners = page.pixels[[5, 5, -5, -5], [5, -5, -5, 5]]  # clockwise
    is_red = [corner.tolist() == list(RED) for corner in corners]
    assert is_red == [i == rotation // 90 for i in range(4)]


@pytest.mark.parametrize("size", [(14_400, 14_400), (1e6, 1), (5, 2e5), (2e5, 2e5)])
def test_a_pdf_page_of_absurd_size_is_rendered_within_the_bound(size: tuple[float, float]) -> None:
    (page,) = open_pages(_pdf(*size), DocumentConfig(max_pixels=100_000, dpi=300.0))
    assert page.pixels is not None
    height, width = page.pixels.shape[:2]
    assert 20_000 <= height * width <= 100_000
    assert page.dpi is not None
    assert page.dpi < 300
    assert "dpi, not 300" in page.warnings[0]


def test_a_huge_picture_on_a_pdf_page_is_refused_before_it_is_unpacked(
    encode: Encode, only_page: OnlyPage, reason_of: ReasonOf
) -> None:
    data = (
        encode("PDF")
        .replace(b"/Width 80", b"/Width 80000")
        .replace(b"/Height 40", b"/Height 40000")
    )
    assert reason_of(only_page(data)) == "too_large"


def test_form_fields_that_are_filled_in_are_drawn(only_page: OnlyPage) -> None:
    plain, filled = only_page(_form(b"")), only_page(_form(b"/V (WWWW)"))
    assert plain.pixels is not None
    assert filled.pixels is not None
    assert filled.pixels.min() < plain.pixels.min()


def _encrypted(password: bytes) -> bytes:
    """Return a PDF that is encrypted by 40 bits (PDF 1.7, 7.6.3: revision 2)."""
    pad = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
    padded, rights, name = (password + pad)[:32], (-4).to_bytes(4, "little", signed=True), b"0" * 16
    owner = _rc4(hashlib.md5(padded).digest()[:5], padded)
    key = hashlib.md5(padded + owner + rights + name).digest()[:5]
    return (
        b"%%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 50]>>endobj\n"
        b"4 0 obj<</Filter/Standard/V 1/R 2/P -4/O<%b>/U<%b>>>endobj\n"
        b"trailer<</Root 1 0 R/Encrypt 4 0 R/ID[<%b><%b>]>>\n%%%%EOF"
    ) % (owner.hex().encode(), _rc4(key, pad).hex().encode(), name.hex().encode(), b"00")


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j, out = list(range(256)), 0, bytearray()
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def test_an_encrypted_pdf_is_read_with_its_password_only(
    monkeypatch: pytest.MonkeyPatch, only_page: OnlyPage
) -> None:
    data = _encrypted(b"secret")
    assert only_page(data).error == "encrypted: set documents.password_variable"
    monkeypatch.setenv("PDF_PASSWORD", "wrong")
    assert (
        only_page(data, password_variable="PDF_PASSWORD").error
        == "encrypted: the password is wrong"
    )
    monkeypatch.setenv("PDF_PASSWORD", "secret")
    assert only_page(data, password_variable="PDF_PASSWORD").error == ""


def test_a_password_that_is_not_there_is_a_wrong_setting(only_page: OnlyPage) -> None:
    with pytest.raises(ConfigError, match="no environment variable 'NOT_THERE'"):
        only_page(_encrypted(b"secret"), password_variable="NOT_THERE")


def test_threads_read_pdfs_at_once(encode: Encode, number_of: NumberOf) -> None:
    data = encode("PDF", 4)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: [number_of(p) for p in open_pages(data)], range(24)))
    assert found == [[1, 2, 3, 4]] * 24


def test_a_pdf_that_is_left_half_read_is_closed(tmp_path: Path, encode: Encode) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(encode("PDF", 3))
    open_files = len(psutil.Process().open_files())
    pages = open_pages(path)
    next(pages)
    pages.close()  # type: ignore[attr-defined]  # a generator
    assert len(psutil.Process().open_files()) == open_files
