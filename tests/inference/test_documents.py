import errno
import hashlib
import io
import os
import re
import struct
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_raw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pydantic import ValidationError

from ocr_model.errors import ConfigError
from ocr_model.inference.documents import DocumentConfig, PageImage, list_documents, open_pages

RED, BLUE = (255, 0, 0), (0, 0, 255)
IMAGE_KINDS = ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"]
KINDS = [*IMAGE_KINDS, "PDF"]


def _picture(number: int = 1, size: tuple[int, int] = (80, 40)) -> Image.Image:
    """Return a page that is as blue as its number is high, its left upper corner red."""
    image = Image.new("RGB", size, (255, 255, 255 - 20 * number))
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 4, size[1] // 4), fill=RED)
    return image


def _encoded(kind: str, num_pages: int = 1, size: tuple[int, int] = (80, 40)) -> bytes:
    buffer = io.BytesIO()
    first, *others = [_picture(number, size) for number in range(1, num_pages + 1)]
    several = {"save_all": True, "append_images": others} if others else {}
    options = {"resolution": 72} if kind == "PDF" else {}  # a point per pixel
    first.save(buffer, kind, **several, **options)
    return buffer.getvalue()


def _number(page: PageImage) -> int:
    """Return which page it is by its colour."""
    assert page.pixels is not None, page.error
    return round((255 - int(page.pixels[-5, -5, 2])) / 20)


def _only(source: object, **settings: object) -> PageImage:
    (page,) = open_pages(source, DocumentConfig(dpi=72.0, **settings))  # type: ignore[arg-type]  # of any type
    return page


def _reason(page: PageImage) -> str:
    assert page.pixels is None
    return page.error.partition(": ")[0]


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given_as", ["bytes", "memoryview", "path", "name"])
def test_every_format_is_read_from_bytes_and_files_whatever_their_name(
    kind: str, given_as: str, tmp_path: Path
) -> None:
    data, path = _encoded(kind), tmp_path / "no_suffix"
    path.write_bytes(data)
    sources = {"bytes": data, "memoryview": memoryview(data), "path": path, "name": str(path)}
    page = _only(sources[given_as])
    assert page.pixels is not None
    assert page.pixels.shape == (40, 80, 3)
    np.testing.assert_allclose(page.pixels[2, 2].astype(int), RED, atol=6)
    assert (page.number, page.error, page.warnings) == (1, "", ())
    assert page.source == (str(path) if given_as in ("path", "name") else "")


def test_arrays_and_pillow_images_are_pages() -> None:
    for source in (np.asarray(_picture()), _picture()):
        np.testing.assert_array_equal(_only(source).pixels, np.asarray(_picture()))


@pytest.mark.parametrize(("kind", "expected"), [("TIFF", [1, 2, 3]), ("PDF", [1, 2, 3])])
def test_all_pages_are_read_in_their_order(kind: str, expected: list[int]) -> None:
    pages = list(open_pages(_encoded(kind, 3)))
    assert [page.number for page in pages] == expected
    assert [_number(page) for page in pages] == expected


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_of_an_animation_the_first_frame_is_read(kind: str) -> None:
    assert _number(_only(_encoded(kind, 3))) == 1


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ("1-3,5", [1, 2, 3, 5]),
        ("2", [2]),
        (" 5 , 1 ", [1, 5]),
        ("4-", [4, 5]),
        ("2-3,3-9", [2, 3, 4, 5]),
    ],
)
@pytest.mark.parametrize("kind", ["TIFF", "PDF"])
def test_chosen_pages_are_read_in_the_documents_order(
    kind: str, pages: str, expected: list[int]
) -> None:
    found = list(open_pages(_encoded(kind, 5), DocumentConfig(pages=pages)))
    assert [page.number for page in found] == expected
    assert [_number(page) for page in found] == expected


@pytest.mark.parametrize("pages", ["0", "a", "3-2", "1,,2", "-3", "1 2", "1.5"])
def test_what_is_no_range_of_pages_is_refused(pages: str) -> None:
    with pytest.raises(ValidationError, match="ranges from 1, as '1-3,7,12-', got"):
        DocumentConfig(pages=pages)


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_without_a_chosen_page_says_so(kind: str) -> None:
    page = _only(_encoded(kind), pages="7")
    assert page.error == "no_such_page: none of 1 is among pages='7'"


@pytest.mark.parametrize("kind", ["TIFF", "PDF"])
def test_pages_beyond_the_most_are_one_error(kind: str) -> None:
    pages = list(open_pages(_encoded(kind, 5), DocumentConfig(max_pages=2)))
    assert [_number(page) for page in pages[:2]] == [1, 2]
    assert [page.number for page in pages] == [1, 2, 3]
    assert pages[2].error.startswith("too_many_pages: more than max_pages=2")


@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_a_picture_of_one_pixel_is_read(kind: str) -> None:
    page = _only(_encoded(kind, size=(1, 1)))
    assert page.pixels is not None
    assert page.pixels.shape == (1, 1, 3)


def test_exif_orientation_is_applied_in_files_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "TIFF", "PNG", "WEBP"):
        _picture().save(tmp_path / "turned", kind, exif=exif)
        pixels = _only(tmp_path / "turned").pixels
        assert pixels is not None
        assert pixels.shape == (80, 40, 3)
        np.testing.assert_allclose(pixels[2, -3].astype(int), RED, atol=6)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"hello, this is text", "not_an_image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image"),
        (b"BM and then nothing of a bitmap", "undecodable"),
        (b"%PDF-1.7\nnothing more", "undecodable"),
        (b"II*\0\xff\xff\xff\xff", "undecodable"),
        (b"II*\0\x08\0\0\0", "undecodable"),
    ],
)
def test_what_is_no_document_says_why(data: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    assert _reason(_only(data)) == reason
    assert _reason(_only(tmp_path / "a.png")) == reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_file_cut_short_is_one_error(kind: str) -> None:
    data = _encoded(kind, size=(300, 300))
    assert _reason(_only(data[: len(data) * 2 // 3])) in ("truncated", "undecodable")


def test_files_that_are_not_there_or_none_are_errors(tmp_path: Path) -> None:
    assert _only(tmp_path / "gone.png").error == "unreadable: no such file"
    os.mkfifo(tmp_path / "pipe.png")
    assert _only(tmp_path / "pipe.png").error == "unreadable: not a file"


def test_a_bad_page_of_a_tiff_does_not_cost_the_others() -> None:
    data = _encoded("TIFF", 3)
    with Image.open(io.BytesIO(data)) as image:
        image.seek(1)
        (offset,) = image.tag_v2[273]  # its strip, beyond the end of the file from now on
    where = data.rindex(offset.to_bytes(4, "little"), 0, offset)
    broken = data[:where] + (2**31 - 1).to_bytes(4, "little") + data[where + 4 :]
    pages = list(open_pages(broken))
    assert [page.number for page in pages] == [1, 2, 3]
    assert [bool(page.error) for page in pages] == [False, True, False]
    assert (_number(pages[0]), _number(pages[2])) == (1, 3)


def test_what_is_wrong_behind_the_last_chosen_page_is_not_said() -> None:
    data = _encoded("TIFF", 2)
    with Image.open(io.BytesIO(data)) as image:
        image.seek(1)
        start = image._frame_pos[1]  # of the second page's directory
    broken = data[:start] + b"\xff" * (len(data) - start)
    assert [bool(page.error) for page in open_pages(broken)] == [False, True]
    assert [bool(p.error) for p in open_pages(broken, DocumentConfig(pages="1"))] == [False]


def test_a_bad_page_of_a_pdf_does_not_cost_the_others() -> None:
    data = _encoded("PDF", 3)
    second = data.index(b"/Type /Page\n", data.index(b"/Type /Page\n") + 1)
    pages = list(open_pages(data[:second] + b"/Type /Nope\n" + data[second + 12 :]))
    assert [page.number for page in pages] == [1, 2, 3]
    assert (_number(pages[0]), _number(pages[2])) == (1, 3)


def test_smaller_versions_and_masks_in_a_tiff_are_no_pages() -> None:
    buffer = io.BytesIO()
    thumbnail = _picture(2)
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    _picture(1).save(buffer, "TIFF", save_all=True, append_images=[thumbnail, _picture(3)])
    pages = list(open_pages(buffer.getvalue()))
    assert [page.number for page in pages] == [1, 2]
    assert [_number(page) for page in pages] == [1, 3]


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


def test_a_huge_picture_on_a_pdf_page_is_refused_before_it_is_unpacked() -> None:
    data = (
        _encoded("PDF")
        .replace(b"/Width 80", b"/Width 80000")
        .replace(b"/Height 40", b"/Height 40000")
    )
    assert _reason(_only(data)) == "too_large"


def test_form_fields_that_are_filled_in_are_drawn() -> None:
    plain, filled = _only(_form(b"")), _only(_form(b"/V (WWWW)"))
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


def test_an_encrypted_pdf_is_read_with_its_password_only(monkeypatch: pytest.MonkeyPatch) -> None:
    data = _encrypted(b"secret")
    assert _only(data).error == "encrypted: set documents.password_variable"
    monkeypatch.setenv("PDF_PASSWORD", "wrong")
    assert _only(data, password_variable="PDF_PASSWORD").error == "encrypted: the password is wrong"
    monkeypatch.setenv("PDF_PASSWORD", "secret")
    assert _only(data, password_variable="PDF_PASSWORD").error == ""


def test_a_password_that_is_not_there_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="no environment variable 'NOT_THERE'"):
        _only(_encrypted(b"secret"), password_variable="NOT_THERE")


def test_a_folder_gives_all_pages_in_natural_order(tmp_path: Path) -> None:
    names = ["page 10.png", "Page 2.TIF", "page 1.jpg", "b/1.pdf", "b/.hidden/2.png", ".x.png"]
    kinds = ["PNG", "TIFF", "JPEG", "PDF", "PNG", "PNG"]
    for name, kind in zip(names, kinds, strict=True):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(_encoded(kind, 2 if kind == "TIFF" else 1))
    (tmp_path / "notes.txt").write_text("no document")
    (tmp_path / "folder.png").mkdir()
    pages = [(str(Path(p.source).relative_to(tmp_path)), p.number) for p in open_pages(tmp_path)]
    assert pages == [
        ("b/1.pdf", 1),
        ("page 1.jpg", 1),
        ("Page 2.TIF", 1),
        ("Page 2.TIF", 2),
        ("page 10.png", 1),
    ]


def test_a_folder_that_cannot_be_listed_is_an_error_among_the_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shut").mkdir()
    (tmp_path / "word.png").write_bytes(_encoded("PNG"))
    scan = os.scandir

    def scandir(place: str) -> object:
        if str(place).endswith("shut"):
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", scandir)  # root may list them all
    errors = {Path(page.source).name: page.error for page in open_pages(tmp_path)}
    assert errors["word.png"] == ""
    assert errors["shut"].startswith("unreadable: ")


def test_a_folder_without_documents_says_so(tmp_path: Path) -> None:
    assert _only(tmp_path).error.startswith("empty: a folder without .jpg")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("aA01290٣-", min_size=1, max_size=6), unique=True, max_size=8))
def test_any_names_have_one_order(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            (Path(folder) / f"{name}.png").touch()
        found = [path.stem for path in list_documents(Path(folder))]
    assert sorted(found) == sorted(names)
    numbers = [int(name) for name in found if name.isascii() and name.isdigit()]
    assert numbers == sorted(numbers)


def _rss_mib() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def _peak_mib(work: Callable[[], object]) -> float:
    """Return by how much memory rose above what it was, at the most."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak
    before = _rss_mib()
    work()
    peak = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert peak is not None
    return int(peak[1]) / 1024 - before


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def _huge_png() -> bytes:
    """Return 20,000x20,000 pixels of one bit."""
    rows = zlib.compress(bytes(20_000 * (1 + 20_000 // 8)), 1)
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)), (b"IDAT", rows)]
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in [*chunks, (b"IEND", b"")]:
        parts += [
            struct.pack(">I", len(data)),
            name,
            data,
            struct.pack(">I", zlib.crc32(name + data)),
        ]
    return b"".join(parts)


def _huge_tiff() -> bytes:
    """Return a TIFF that says it has 20,000x20,000 pixels."""
    data = _encoded("TIFF", size=(1234, 1235))
    return data.replace(struct.pack("<I", 1234), struct.pack("<I", 20_000)).replace(
        struct.pack("<I", 1235), struct.pack("<I", 20_000)
    )


@needs_linux
@pytest.mark.parametrize("make", [_huge_png, _huge_tiff])
def test_a_huge_picture_is_refused_without_being_decoded(
    make: Callable[[], bytes], tmp_path: Path
) -> None:
    data, path = make(), tmp_path / "huge"
    path.write_bytes(data)
    found: list[PageImage] = []
    peak = _peak_mib(lambda: found.extend([*open_pages(path), *open_pages(data)]))
    assert [_reason(page) for page in found] == ["too_large"] * 2
    assert peak < 10  # 400 million pixels would be 48 MiB at one bit


def test_a_file_longer_than_any_picture_of_the_bound_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "long.png"
    with path.open("wb") as file:
        file.write(_encoded("PNG"))
        file.truncate(20 * 2**20)  # sparse
    assert _reason(_only(path, max_pixels=100_000)) == "too_large"
    assert _only(path).error == ""


@needs_linux
@pytest.mark.parametrize("kind", ["PDF", "TIFF"])
def test_pages_are_not_kept_in_memory(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "many"
    path.write_bytes(_encoded(kind, 50, size=(800, 800)))

    def read() -> None:
        assert (
            sum(page.pixels is not None for page in open_pages(path, DocumentConfig(dpi=72.0)))
            == 50
        )

    assert _peak_mib(read) < 30  # all of them are 92 MiB


def test_threads_read_pdfs_at_once() -> None:
    data = _encoded("PDF", 4)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: [_number(p) for p in open_pages(data)], range(24)))
    assert found == [[1, 2, 3, 4]] * 24


def test_a_pdf_that_is_left_half_read_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(_encoded("PDF", 3))
    open_files = len(psutil.Process().open_files())
    pages = open_pages(path)
    next(pages)
    pages.close()  # type: ignore[attr-defined]  # a generator
    assert len(psutil.Process().open_files()) == open_files


def _mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with a wrong header, a body cut short, or bytes changed, put in or moved."""
    changed, kind = bytearray(data), rng.integers(6)
    if kind == 0:
        return data[: int(rng.integers(len(data)))]
    head = min(len(data), 64) if kind in (1, 2) else len(data)
    for _ in range(int(rng.integers(1, 12))):
        place = int(rng.integers(head))
        if kind == 4:
            changed[place:place] = rng.bytes(int(rng.integers(1, 30)))
        elif kind == 5:
            start, length = (int(n) for n in rng.integers(1, len(data), 2))
            changed[place : place + 8] = data[start : start + min(length, 64)]
        else:
            digits = b"0123456789-" if chr(changed[place]).isdigit() else bytes(range(256))
            changed[place] = digits[int(rng.integers(len(digits)))]
    return bytes(changed)


def _mutations(per_kind: int) -> Iterator[tuple[str, bytes]]:
    for kind in KINDS:
        data = _encoded(kind, 1 if kind in ("JPEG", "BMP", "PNG") else 2)
        rng = np.random.default_rng(KINDS.index(kind))
        for _ in range(per_kind):
            yield kind, _mutated(data, rng)


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what is odd in them
def test_a_thousand_mutated_files_give_pixels_or_an_error_and_memory_stays_flat() -> None:
    config = DocumentConfig(max_pixels=1_000_000, max_pages=20, dpi=72.0)
    outcomes: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    rss = []
    for kind, data in _mutations(150):
        for page in open_pages(data, config):
            assert (page.pixels is None) == bool(page.error)
            outcomes[kind][page.error.partition(": ")[0] or "pixels"] += 1
        rss.append(_rss_mib())
    assert len(rss) == 1050
    assert all(len(found) >= 2 and found["pixels"] > 0 for found in outcomes.values()), outcomes
    assert rss[-1] - rss[200] < 40
