"""What is to be read: an object, or a part of one, and which state of it."""

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa

from ocr_model.inference.bulk.places import byte_order

ITEMS = pa.schema(
    [
        ("uri", pa.binary()),  # a file's name may be no UTF-8
        ("member", pa.binary()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("etag", pa.string()),
    ]
)
_SORTED_AT_ONCE = 200_000  # some 100 MB
_READ_AT_ONCE = 2_000

Key = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Item:
    """One image or document."""

    uri: str
    """Path or address of the object that holds it."""
    size: int = -1
    """Bytes; -1 where the listing does not say."""
    etag: str = ""
    """Of the object; changes with its content."""
    member: str = ""
    """Which part of the object: a row of a table, a file of a tar; empty: all of it."""
    offset: int = -1
    """Where in the object: byte of a tar, row of a table; -1: all of it."""

    @property
    def key(self) -> Key:
        """What items are sorted by, and told apart."""
        return byte_order(self.uri), byte_order(self.member)


def items_table(items: Iterable[Item]) -> pa.Table:
    """Return items as a table of `ITEMS`."""
    rows = [(*item.key, item.offset, item.size, item.etag) for item in items]
    columns = zip(*rows, strict=True) if rows else ([] for _ in ITEMS)
    arrays = [pa.array(c, t) for c, t in zip(columns, ITEMS.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=ITEMS)


def table_items(table: pa.Table) -> Iterator[Item]:
    """Undo `items_table`."""
    for uri, member, offset, size, etag in zip(
        *(table[name].to_pylist() for name in ITEMS.names), strict=True
    ):
        yield Item(_text(uri), size, etag, _text(member), offset)


def sorted_items(items: Iterator[Item]) -> Iterator[Item]:
    """Sort any number of items by their keys, on disk where they are many."""
    with ExitStack() as stack:
        runs: list[Iterable[Item]] = []
        while run := sorted(islice(items, _SORTED_AT_ONCE), key=lambda item: item.key):
            if len(run) < _SORTED_AT_ONCE:
                runs.append(run)
                break
            file = stack.enter_context(tempfile.TemporaryFile())
            with pa.ipc.new_stream(file, ITEMS) as writer:
                writer.write_table(items_table(run), max_chunksize=_READ_AT_ONCE)
            file.seek(0)
            runs.append(_stored(pa.ipc.open_stream(file)))
        yield from heapq.merge(*runs, key=lambda item: item.key)


def _stored(reader: pa.RecordBatchReader) -> Iterator[Item]:
    for batch in reader:
        yield from table_items(pa.Table.from_batches([batch]))


def _text(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")
