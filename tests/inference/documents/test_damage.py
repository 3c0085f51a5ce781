import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ocr_model.inference.documents import PageImage, open_pages

Encode = Callable[..., bytes]
OnlyPage = Callable[..., PageImage]
NumberOf = Callable[[PageImage], int]
ReasonOf = Callable[[PageImage], str]


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
def test_what_is_no_document_says_why(
    data: bytes, reason: str, tmp_path: Path, only_page: OnlyPage, reason_of: ReasonOf
) -> None:
    (tmp_path / "a.png").write_bytes(data)
    assert reason_of(only_page(data)) == reason
    assert reason_of(only_page(tmp_path / "a.png")) == reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_a_file_cut_short_is_one_error(
    kind: str, encode: Encode, only_page: OnlyPage, reason_of: ReasonOf
) -> None:
    data = encode(kind, size=(300, 300))
    assert reason_of(only_page(data[: len(data) * 2 // 3])) in ("truncated", "undecodable")


def test_files_that_are_not_there_or_none_are_errors(tmp_path: Path, only_page: OnlyPage) -> None:
    assert only_page(tmp_path / "gone.png").error == "unreadable: no such file"
    os.mkfifo(tmp_path / "pipe.png")
    assert only_page(tmp_path / "pipe.png").error == "unreadable: not a file"


def test_a_bad_page_of_a_tiff_does_not_cost_the_others(encode: Encode, number_of: NumberOf) -> None:
    data = encode("TIFF", 3)
    with Image.open(io.BytesIO(data)) as image:
        image.seek(1)
        (offset,) = image.tag_v2[273]  # its strip, beyond the end of the file from now on
    where = data.rindex(offset.to_bytes(4, "little"), 0, offset)
    broken = data[:where] + (2**31 - 1).to_bytes(4, "little") + data[where + 4 :]
    pages = list(open_pages(broken))
    assert [page.number for page in pages] == [1, 2, 3]
    assert [bool(page.error) for page in pages] == [False, True, False]
    assert (number_of(pages[0]), number_of(pages[2])) == (1, 3)


def test_a_bad_page_of_a_pdf_does_not_cost_the_others(encode: Encode, number_of: NumberOf) -> None:
    data = encode("PDF", 3)
    second = data.index(b"/Type /Page\n", data.index(b"/Type /Page\n") + 1)
    pages = list(open_pages(data[:second] + b"/Type /Nope\n" + data[second + 12 :]))
    assert [page.number for page in pages] == [1, 2, 3]
    assert (number_of(pages[0]), number_of(pages[2])) == (1, 3)
