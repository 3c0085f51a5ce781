"""Bytes of many images at a time, or why there are none."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial

import pyarrow as pa
import pyarrow.parquet as pq

from ocr_model.errors import ImageError, StorageError
from ocr_model.inference.bulk.entry import too_large
from ocr_model.inference.bulk.items import Item
from ocr_model.inference.bulk.places import place_of, split_address

Content = bytes | ImageError


def fetch(
    items: Sequence[Item], *, at_once: int, most_bytes: int, column: str = "image"
) -> list[Content]:
    """Read the bytes of items; what is wrong with one of them stands in its place.

    Raises:
        StorageError: A place does not answer, which says nothing of the images.
    """
    fetch_one = partial(_fetch, most_bytes=most_bytes, column=column)
    with ThreadPoolExecutor(min(at_once, len(items))) as pool:
        return list(pool.map(fetch_one, items))


def _fetch(item: Item, most_bytes: int, column: str) -> Content:
    try:
        if item.member.startswith("~"):
            raise ImageError("unreadable", item.member[1:].strip())
        if item.size > most_bytes:
            raise too_large(item.size, most_bytes)
        root, key = split_address(item.uri)
        if item.offset < 0:
            return place_of(root).read_whole(key, most_bytes)  # a list says no sizes
        if item.size < 0:
            return _row(item, column)
        return place_of(root).read(key, item.offset, item.size)
    except ImageError as error:
        return error


def _row(item: Item, column: str) -> bytes:
    try:
        images, start = _row_group(item.uri, item.etag, item.offset, column)
    except (pa.ArrowException, StorageError, OSError, KeyError) as error:
        raise ImageError("unreadable", " ".join(str(error).split())) from error
    value = images[item.offset - start].as_py()
    image = value.get("bytes") if isinstance(value, dict) else value
    if not image:
        raise ImageError("empty", "the row has no image")
    return bytes(image)


def _row_group(uri: str, etag: str, row: int, column: str) -> tuple[pa.ChunkedArray, int]:
    """Return the images of a row's group, and the number of its first row."""
    starts = _group_starts(uri, etag)
    group = max(number for number, start in enumerate(starts) if start <= row)
    return _images(uri, etag, group, column), starts[group]


@lru_cache(maxsize=4)
def _group_starts(uri: str, etag: str) -> list[int]:
    root, key = split_address(uri)
    with place_of(root).open(key) as file:
        metadata = pq.read_metadata(file)
    starts, start = [], 0
    for group in range(metadata.num_row_groups):
        starts.append(start)
        start += metadata.row_group(group).num_rows
    return starts


@lru_cache(maxsize=2)  # the units of a row group follow each other
def _images(uri: str, etag: str, group: int, column: str) -> pa.ChunkedArray:
    root, key = split_address(uri)
    with place_of(root).open(key) as file:
        return pq.ParquetFile(file).read_row_group(group, columns=[column])[column]
