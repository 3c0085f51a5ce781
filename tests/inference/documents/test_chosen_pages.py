import io
from collections.abc import Callable

import pytest
from PIL import Image
from pydantic import ValidationError

from ocr_model.inference.documents import DocumentConfig, PageImage, open_pages

Encode = Callable[..., bytes]
OnlyPage = Callable[..., PageImage]
NumberOf = Callable[[PageImage], int]

KINDS = ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PDF"]


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
    kind: str, pages: str, expected: list[int], encode: Encode, number_of: NumberOf
) -> None:
    found = list(open_pages(encode(kind, 5), DocumentConfig(pages=pages)))
    assert [page.number for page in found] == expected
    assert [number_of(page) for page in found] == expected


@pytest.mark.parametrize("pages", ["0", "a", "3-2", "1,,2", "-3", "1 2", "1.5"])
def test_what_is_no_range_of_pages_is_refused(pages: str) -> None:
    with pytest.raises(ValidationError, match="ranges from 1, as '1-3,7,12-', got"):
        DocumentConfig(pages=pages)


@pytest.mark.parametrize("kind", KINDS)
def test_a_document_without_a_chosen_page_says_so(
    kind: str, encode: Encode, only_page: OnlyPage
) -> None:
    page = only_page(encode(kind), pages="7")
    assert page.error == "no_such_page: none of 1 is among pages='7'"


@pytest.mark.parametrize("kind", ["TIFF", "PDF"])
def test_pages_beyond_the_most_are_one_error(
    kind: str, encode: Encode, number_of: NumberOf
) -> None:
    pages = list(open_pages(encode(kind, 5), DocumentConfig(max_pages=2)))
    assert [number_of(page) for page in pages[:2]] == [1, 2]
    assert [page.number for page in pages] == [1, 2, 3]
    assert pages[2].error.startswith("too_many_pages: more than max_pages=2")


def test_what_is_wrong_behind_the_last_chosen_page_is_not_said(encode: Encode) -> None:
    data = encode("TIFF", 2)
    with Image.open(io.BytesIO(data)) as image:
        image.seek(1)
        start = image._frame_pos[1]  # of the second page's directory
    broken = data[:start] + b"\xff" * (len(data) - start)
    assert [bool(page.error) for page in open_pages(broken)] == [False, True]
    assert [bool(p.error) for p in open_pages(broken, DocumentConfig(pages="1"))] == [False]
