"""TIFFs that say that they have very many pages."""

import itertools
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ocr_model.inference.documents import DocumentConfig, PageImage, open_pages
from ocr_model.tiff import MOST_DIRECTORIES, MOST_ENTRIES

NumberOf = Callable[[PageImage], int]

PAGE, SMALLER = 0, 1
_PIXEL = {256: 1, 257: 1, 258: 8, 262: 1, 273: 8}


def _tiff(kinds: list[int], head: bytes = b"II*\0", padding: int = 0) -> bytes:
    """Return a TIFF of a directory for each, with so many entries that say nothing."""
    order, is_big = ">" if head.startswith(b"MM") else "<", b"+" in head
    number, entry = ("Q", "HHQQ") if is_big else ("L", "HHLL")
    data = head + (struct.pack(order + "HHQ", 8, 0, 16) if is_big else struct.pack(order + "L", 8))
    parts, place = [data], len(data)
    for index, kind in enumerate(kinds):
        tags = {254: kind, **_PIXEL}
        count = struct.pack(order + ("Q" if is_big else "H"), len(tags) + padding)
        listed = b"".join(
            struct.pack(order + entry, t, 16 if is_big else 4, 1, v) for t, v in tags.items()
        )
        size = struct.calcsize(order + entry)
        place += len(count) + len(listed) + padding * size + struct.calcsize(order + number)
        link = struct.pack(order + number, place if index + 1 < len(kinds) else 0)
        parts.append(count + listed + bytes(padding * size) + link)
    return b"".join(parts)


@pytest.mark.parametrize("head", [b"II*\0", b"MM\0*", b"II+\0"])
@pytest.mark.parametrize("as_file", [False, True])
def test_a_tiff_of_too_many_directories_is_read_to_the_bound(
    head: bytes, as_file: bool, tmp_path: Path
) -> None:
    data = _tiff([PAGE, PAGE, *[SMALLER] * (MOST_DIRECTORIES - 1)], head)
    (tmp_path / "many").write_bytes(data)
    first, second, last = open_pages(tmp_path / "many" if as_file else data)
    assert (first.number, first.error, second.number, second.error) == (1, "", 2, "")
    assert (last.number, last.pixels) == (3, None)
    assert last.error == "too_many_pages: more than 5000 directories, the rest is unread"


def test_as_many_directories_as_may_be_are_read() -> None:
    data = _tiff([PAGE, *[SMALLER] * (MOST_DIRECTORIES - 2), PAGE])
    assert [page.error for page in open_pages(data)] == ["", ""]


def test_what_is_behind_the_last_chosen_page_is_not_counted() -> None:
    data = _tiff([PAGE] * (MOST_DIRECTORIES + 1))
    (page,) = open_pages(data, DocumentConfig(pages="2"))
    assert (page.number, page.error) == (2, "")


def test_pages_that_are_not_chosen_are_counted() -> None:
    data = _tiff([PAGE] * (MOST_DIRECTORIES + 1))
    (page,) = open_pages(data, DocumentConfig(pages="9999"))
    assert page.error.startswith("too_many_pages: more than 5000 directories")


def test_entries_are_counted_over_all_directories() -> None:
    data = _tiff([PAGE] * 4, padding=MOST_ENTRIES // 3)
    *read, last = itertools.islice(open_pages(data), 9)
    assert [page.error for page in read] == ["", ""]
    assert last.error == f"too_large: a TIFF of more than {MOST_ENTRIES} entries"


def test_pages_that_come_round_again_end_there() -> None:
    data = _tiff([PAGE, PAGE, PAGE])
    looped = data[:-4] + struct.pack("<L", 8)
    assert [page.error for page in open_pages(looped)] == ["", "", ""]
