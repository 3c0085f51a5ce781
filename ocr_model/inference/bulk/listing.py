"""Inputs, one after the other, in the order of their keys: nothing is kept of what was listed."""

import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import assert_never

import pyarrow as pa
import pyarrow.parquet as pq

from ocr_model.errors import ConfigError, ImageError, StorageError
from ocr_model.inference.bulk.config import BatchConfig, InputKind
from ocr_model.inference.bulk.entry import Entry
from ocr_model.inference.bulk.items import Item, Key, sorted_items
from ocr_model.inference.bulk.places import Place, open_place, place_of, split_address
from ocr_model.inference.documents import SUFFIXES

_WILDCARD = re.compile(r"(\*\*/|\*\*|\*|\?)")
_WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_KINDS: dict[str, InputKind] = {".txt": "uris", ".tar": "tar"}
_ROWS_AT_ONCE = 10_000


@dataclass
class Listing:
    """The items of an input; iterate over it once. Counts are of what was listed so far."""

    config: BatchConfig
    num_ignored: int = 0
    """Objects that are no images by their names."""
    num_repeated: int = 0
    """Entries of a list that were in it before."""
    _last: Key = field(default=(b"", b""), repr=False)

    def __iter__(self) -> Iterator[Item]:
        """List on.

        Raises:
            StorageError: There is no such input, or it does not answer; or its keys come in no
                order.
            ConfigError: The input is not of the kind that it was said to be.
        """
        place, only, chosen = _find_input(self.config.input)
        kind = self._kind(only)
        found = self._items(kind, place, self._entries(kind, place, only, chosen))
        for item in sorted_items(found) if self.config.sort_listing or kind == "uris" else found:
            key = item.key
            if key == self._last:
                self.num_repeated += 1
                continue
            if key < self._last:
                raise StorageError(
                    f"{self.config.input} is listed in no order ({item.uri} comes too late): set "
                    "sort_listing=true"
                )
            self._last = key
            yield item

    def _kind(self, only: Entry | None) -> InputKind:
        if self.config.input_kind != "auto":
            return self.config.input_kind
        suffix = PurePosixPath(self.config.input).suffix.lower()
        if suffix != ".parquet":
            return _KINDS.get(suffix, "files")
        if only is None:
            return "table"
        place, key = split_address(self.config.input)
        with place_of(place).open(key) as file:
            schema = pq.read_schema(file)
        name = self.config.column or ("uri" if "uri" in schema.names else "image")
        if name not in schema.names:
            raise ConfigError(f"input={self.config.input} has no column {name!r}: {schema.names}")
        return "uris" if pa.types.is_string(schema.field(name).type) else "table"

    def _entries(
        self, kind: InputKind, place: Place, only: Entry | None, chosen: Callable[[str], bool]
    ) -> Iterator[Entry]:
        if only is not None:
            yield only
            return
        is_glob = "*" in self.config.input or "?" in self.config.input
        endings = {"files": SUFFIXES, "tar": (".tar",), "table": (".parquet",)}
        for entry in place.entries():
            if is_glob and not chosen(entry.key):
                continue
            if not is_glob and not entry.key.lower().endswith(endings[kind]):
                self.num_ignored += 1
                continue
            yield entry

    def _items(self, kind: InputKind, place: Place, entries: Iterator[Entry]) -> Iterator[Item]:
        for entry in entries:
            whole = Item(f"{place.address}/{entry.key}", entry.size, entry.etag)
            match kind:
                case "files":
                    yield whole
                case "tar":
                    yield from _members(place, entry, whole)
                case "table":
                    yield from _rows(place, entry, whole)
                case "uris":
                    yield from _listed(place, entry, self.config.column or "uri")
                case _:
                    assert_never(kind)


def input_folder(address: str) -> str:
    """Return the folder or prefix that an input lies in, or is, as its items' addresses begin."""
    fixed = _WILDCARD.split(address)[0]
    return place_of(address if fixed == address else _glob_root(fixed)).address


def _glob_root(fixed: str) -> str:
    return fixed.rpartition("/")[0] or ("/" if fixed.startswith("/") else ".")


def _find_input(address: str) -> tuple[Place, Entry | None, Callable[[str], bool]]:
    """Return where to list, the one object if it is one, and which keys a glob takes."""
    fixed = _WILDCARD.split(address)[0]
    if fixed != address:
        root = _glob_root(fixed)
        pattern = address[len(fixed.rpartition("/")[0]) :].lstrip("/")
        parts = _WILDCARD.split(pattern)
        expression = re.compile("".join(_WILDCARDS.get(part, re.escape(part)) for part in parts))
        return open_place(root), None, lambda key: expression.fullmatch(key) is not None
    parent, key = split_address(address)
    try:
        only = place_of(parent).find(key) if key and not key.endswith("/") else None
    except ImageError:  # no object but, perhaps, a folder
        only = None
    if only is not None:
        return place_of(parent), only, _any
    return open_place(address), None, _any


def _any(_: str) -> bool:
    return True


def _members(place: Place, entry: Entry, whole: Item) -> Iterator[Item]:
    """List the images of a tar; of one that is cut short, the rest is an item that cannot be read.

    What lies between two headers is skipped, not read.
    """
    try:
        with place.open(entry.key) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for number, member in enumerate(tar):
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                if member.isfile() and member.name.lower().endswith(SUFFIXES):
                    name = f"{number:09}/{member.name}"
                    yield Item(whole.uri, member.size, whole.etag, name, member.offset_data)
    except (tarfile.TarError, ImageError) as error:
        yield Item(whole.uri, entry.size, whole.etag, f"~ {error}")


def _rows(place: Place, entry: Entry, whole: Item) -> Iterator[Item]:
    """Number the rows of a table."""
    try:
        with place.open(entry.key) as file:
            num_rows = pq.read_metadata(file).num_rows
    except (pa.ArrowException, OSError, ImageError) as error:
        yield Item(whole.uri, entry.size, whole.etag, f"~ {error}")
        return
    for row in range(num_rows):
        yield Item(whole.uri, -1, whole.etag, f"{row:012}", row)


def _listed(place: Place, entry: Entry, column: str) -> Iterator[Item]:
    """Read a list of addresses; those without a scheme are beside the list."""
    for address in _addresses(place, entry, column):
        is_absolute = "://" in address or address.startswith("/")
        yield Item(address if is_absolute else f"{place.address}/{address}")


def _addresses(place: Place, entry: Entry, column: str) -> Iterator[str]:
    with place.open(entry.key) as file:
        if not entry.key.lower().endswith(".parquet"):
            for line in file:
                if address := line.decode("utf-8", "surrogateescape").strip():
                    yield address
            return
        for batch in pq.ParquetFile(file).iter_batches(_ROWS_AT_ONCE, columns=[column]):
            yield from (address for address in batch.column(0).to_pylist() if address)
