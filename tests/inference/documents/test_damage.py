import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ocr_model.inference.documents import DocumentConfig, PageImage, open_pages

Encode = Callable[..., bytes]


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
def test_a_file_cut_short_is_one_error(kind: str, encode: Encode) -> None:
    data = encode(kind, size=(300, 300))
    assert _reason(_only(data[: len(data) * 2 // 3])) in ("truncated", "undecodable")


def test_files_that_are_not_there_or_none_are_errors(tmp_path: Path) -> None:
    assert _only(tmp_path / "gone.png").error == "unreadable: no such file"
    os.mkfifo(tmp_path / "pipe.png")
    assert _only(tmp_path / "pipe.png").error == "unreadable: not a file"


def test_a_bad_page_of_a_tiff_does_not_cost_the_others(encode: Encode) -> None:
    data = encode("TIFF", 3)
    with Image.open(io.BytesIO(data)) as image:
        image.seek(1)
        (offset,) = image.tag_v2[273]  # its strip, beyond the end of the file from now on
    where = data.rindex(offset.to_bytes(4, "little"), 0, offset)
    broken = data[:where] + (2**31 - 1).to_bytes(4, "little") + data[where + 4 :]
    pages = list(open_pages(broken))
    assert [page.number for page in pages] == [1, 2, 3]
    assert [bool(page.error) for page in pages] == [False, True, False]
    assert (_number(pages[0]), _number(pages[2])) == (1, 3)


def test_a_bad_page_of_a_pdf_does_not_cost_the_others(encode: Encode) -> None:
    data = encode("PDF", 3)
    second = data.index(b"/Type /Page\n", data.index(b"/Type /Page\n") + 1)
    pages = list(open_pages(data[:second] + b"/Type /Nope\n" + data[second + 12 :]))
    assert [page.number for page in pages] == [1, 2, 3]
    assert (_number(pages[0]), _number(pages[2])) == (1, 3)
