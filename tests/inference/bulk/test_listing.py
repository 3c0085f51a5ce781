import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocr_model.config import load_config
from ocr_model.errors import ConfigError, ImageError, StorageError
from ocr_model.inference.bulk.config import BatchConfig
from ocr_model.inference.bulk.fetching import fetch
from ocr_model.inference.bulk.items import Item
from ocr_model.inference.bulk.listing import Listing

Picture = Callable[..., bytes]


def _listing(source: object, *settings: str) -> Listing:
    return Listing(load_config(BatchConfig, None, [f"input={source}", "output=/out", *settings]))


def _fetch(items: list[Item]) -> list[object]:
    return list(fetch(items, at_once=4, most_bytes=10_000))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a b.png", "a/x.PNG", "a-b/y.jpg", "a.png", "ä.tif", "z.txt", ".hidden/h.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "in"


def _names(listing: Listing, folder: Path) -> list[str]:
    return [item.uri.removeprefix(f"{folder}/") for item in listing]


def test_a_folder_is_listed_in_the_order_of_bytes_of_whole_keys(folder: Path) -> None:
    listing = _listing(folder)
    names = _names(listing, folder)
    assert names == ["a b.png", "a-b/y.jpg", "a.png", "a/x.PNG", "ä.tif"]
    assert names == sorted(names, key=lambda name: name.encode())
    assert listing.num_ignored == 1
    assert _fetch(list(_listing(folder)))[3] == b"a/x.PNG"


def test_a_name_that_is_no_utf8_is_listed_and_fetched(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.png", "wb") as file:  # noqa: PTH123  # bytes
        file.write(b"content")
    items = list(_listing(tmp_path))
    assert _fetch(items) == [b"content"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.png", ["a b.png", "a.png"]),
        ("**/*.jpg", ["a-b/y.jpg"]),
        ("a?b/*", ["a-b/y.jpg"]),
        ("**/?.*", ["a-b/y.jpg", "a.png", "a/x.PNG", "z.txt", "ä.tif"]),
    ],
)
def test_a_glob_decides_what_is_read(folder: Path, pattern: str, expected: list[str]) -> None:
    assert _names(_listing(f"'{folder}/{pattern}'"), folder) == expected


def test_one_file_is_an_input_too(folder: Path) -> None:
    assert _names(_listing(folder / "a.png"), folder) == ["a.png"]


def test_a_list_of_addresses_is_sorted_and_repetitions_are_counted(folder: Path) -> None:
    (folder / "list.txt").write_text(f"{folder}/a.png\n\na b.png\n{folder}/a.png\nnone.png\n")
    listing = _listing(folder / "list.txt")
    items = list(listing)
    assert [Path(item.uri).name for item in items] == ["a b.png", "a.png", "none.png"]
    assert listing.num_repeated == 1
    *found, missing = _fetch(items)
    assert found == [b"a b.png", b"a.png"]
    assert isinstance(missing, ImageError)
    assert missing.reason == "missing"


def test_a_list_in_parquet_is_known_by_its_column(folder: Path) -> None:
    pq.write_table(pa.table({"uri": ["a.png"], "other": [1]}), folder / "list.parquet")
    assert _names(_listing(folder / "list.parquet"), folder) == ["a.png"]
    with pytest.raises(ConfigError, match="has no column 'where'"):
        list(_listing(folder / "list.parquet", "column=where"))


def test_rows_of_tables_are_items(tmp_path: Path) -> None:
    images = [f"image {number}".encode() for number in range(25)]
    pq.write_table(pa.table({"image": images}), tmp_path / "plain.parquet", row_group_size=10)
    nested = [{"bytes": image, "path": None} for image in images[:3]] + [None]
    pq.write_table(pa.table({"image": nested}), tmp_path / "hub.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"no table")
    items = list(_listing(tmp_path, "input_kind=table"))
    assert len(items) == 1 + 4 + 25
    broken, *found = _fetch(items)
    assert isinstance(broken, ImageError)
    assert broken.reason == "unreadable"
    assert isinstance(found[3], ImageError)
    assert [*found[:3], *found[4:]] == [*images[:3], *images]
    assert items[-1].member == "000000000024"


def test_images_of_tar_shards_are_items_that_are_read_alone(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "words.tar", "w") as tar:
        for name, content in (("b.png", b"1"), ("b.txt", b"label"), ("a.png", b"22")):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    items = list(_listing(tmp_path / "words.tar"))
    assert [item.member for item in items] == ["000000000/b.png", "000000002/a.png"]
    assert _fetch(items) == [b"1", b"22"]


def test_a_tar_that_is_none_is_an_item_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "words.tar").write_bytes(b"no tar" * 100)
    (content,) = _fetch(list(_listing(tmp_path, "input_kind=tar")))
    assert isinstance(content, ImageError)
    assert content.reason == "unreadable"


def test_an_object_that_is_too_large_is_not_fetched(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(bytes(10_001))
    (content,) = _fetch(list(_listing(tmp_path)))
    assert isinstance(content, ImageError)
    assert str(content) == "too_large: 10001 bytes, at most 10000"


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot list"):
        list(_listing(tmp_path / "none"))


def test_what_a_list_names_is_a_file_of_bounded_size(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(bytes(10_001))
    os.mkfifo(tmp_path / "endless.png")
    (tmp_path / "list.txt").write_text("large.png\nendless.png\n")
    found = {Path(i.uri).name: i for i in _listing(tmp_path / "list.txt")}
    large, endless = _fetch([found["large.png"], found["endless.png"]])
    assert isinstance(large, ImageError)
    assert isinstance(endless, ImageError)
    assert (large.reason, endless.reason) == ("too_large", "missing")
