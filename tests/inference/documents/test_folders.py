import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.inference.documents import PageImage, list_documents, open_pages

Encode = Callable[..., bytes]
OnlyPage = Callable[..., PageImage]


def test_a_folder_gives_all_pages_in_natural_order(tmp_path: Path, encode: Encode) -> None:
    names = ["page 10.png", "Page 2.TIF", "page 1.jpg", "b/1.pdf", "b/.hidden/2.png", ".x.png"]
    kinds = ["PNG", "TIFF", "JPEG", "PDF", "PNG", "PNG"]
    for name, kind in zip(names, kinds, strict=True):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encode(kind, 2 if kind == "TIFF" else 1))
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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode: Encode
) -> None:
    (tmp_path / "shut").mkdir()
    (tmp_path / "word.png").write_bytes(encode("PNG"))
    scan = os.scandir

    def scandir(place: str) -> object:
        if str(place).endswith("shut"):
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", scandir)  # root may list them all
    errors = {Path(page.source).name: page.error for page in open_pages(tmp_path)}
    assert errors["word.png"] == ""
    assert errors["shut"].startswith("unreadable: ")


def test_a_folder_without_documents_says_so(tmp_path: Path, only_page: OnlyPage) -> None:
    assert only_page(tmp_path).error.startswith("empty: a folder without .jpg")


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
