"""The plan: every input once, written to the output before any of it is read.

Each run lists its input and compares it with what former runs have planned; what is new or has
changed is planned behind it. `plan/00000007.parquet` is shard 7: its items in the order of their
keys, cut into units of a fixed number, of which each becomes one file of rows. So a unit's number
says all about it, and what was done needs no ids: the names of files are enough.

A shard is created, never replaced. Two runs that write to the same output meet at the number of a
shard, and one of them stops.
"""

import heapq
import json
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ocr_model.errors import BatchError
from ocr_model.inference.bulk.items import Item, items_table, table_items
from ocr_model.inference.bulk.places import Place

_FIRST_SHARD = 1_000  # images; each one after is twice as large, up to the setting
_FACTS = b"ocr_on_ray"
_AT_ONCE = 16

Former = tuple[int, int]
"""Shard and unit."""


@dataclass(frozen=True)
class Unit:
    """Items that are read together and written to one file."""

    shard: int
    number: int
    items: tuple[Item, ...]

    @property
    def name(self) -> str:
        """Of its files."""
        return unit_name(self.shard, self.number)

    @classmethod
    def from_table(cls, row: pa.Table) -> "Unit":
        """Undo `to_table`; further columns do not matter."""
        items = pa.Table.from_struct_array(row["items"][0].values)
        return cls(row["shard"][0].as_py(), row["unit"][0].as_py(), tuple(table_items(items)))

    def to_table(self) -> pa.Table:
        """Return a table of one row."""
        items = items_table(self.items).to_struct_array().combine_chunks()
        listed = pa.ListArray.from_arrays(pa.array([0, len(items)], pa.int32()), items)
        return pa.table({"shard": [self.shard], "unit": [self.number], "items": listed})


@dataclass(frozen=True)
class Shard:
    """One file of the plan."""

    number: int
    table: pa.Table
    unit_size: int
    begun: int
    """The first shard of the run that planned it; from there on, keys ascend."""

    @property
    def num_units(self) -> int:
        """Units that it is cut into."""
        return -(-int(self.table.num_rows) // self.unit_size)

    def items(self, unit: int | None = None) -> Iterator[Item]:
        """Give the items of one unit, or all."""
        start = 0 if unit is None else unit * self.unit_size
        size = self.table.num_rows if unit is None else self.unit_size
        return table_items(self.table.slice(start, size))

    def units_of(self, numbers: Iterable[int]) -> Iterator[Unit]:
        """Give some units."""
        return (Unit(self.number, number, tuple(self.items(number))) for number in numbers)

    def replaced(self) -> dict[Former, list[Item]]:
        """Return the items that were planned before with other content, by former unit."""
        changed = self.table.filter(pc.is_valid(self.table["shard"]))
        found: dict[Former, list[Item]] = {}
        former = zip(changed["shard"].to_pylist(), changed["unit"].to_pylist(), strict=True)
        for place, item in zip(former, table_items(changed), strict=True):
            found.setdefault(place, []).append(item)
        return found


@dataclass(frozen=True)
class ShardSize:
    """What a shard's footer says."""

    images: int
    """All that are planned in it."""
    new: int
    """Those of them that no former shard has."""
    unit_size: int

    @classmethod
    def read(cls, place: Place, number: int) -> "ShardSize":
        """Read a shard's last bytes."""
        with place.open(_name(number)) as file:
            metadata = pq.read_metadata(file)
        former = metadata.schema.names.index("shard")
        new = sum(
            metadata.row_group(group).column(former).statistics.null_count
            for group in range(metadata.num_row_groups)
        )
        return cls(metadata.num_rows, new, json.loads(metadata.metadata[_FACTS])["unit_size"])


def unit_name(shard: int, unit: int) -> str:
    """Return what the files of a unit are called."""
    return f"{shard:08}/{unit:06}"


def read_shard(place: Place, number: int) -> Shard:
    """Read a shard of an output."""
    table = pq.read_table(pa.BufferReader(place.read(_name(number))))
    facts = json.loads(table.schema.metadata[_FACTS])
    return Shard(number, table, facts["unit_size"], facts["begun"])


class Plan:
    """The shards in an output."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.num_shards = sum(1 for _ in place.entries("plan"))

    def shard(self, number: int) -> Shard:
        """Read a shard."""
        return read_shard(self._place, number)

    def shards(self, numbers: Iterable[int]) -> Iterator[Shard]:
        """Read shards in their order, some ahead."""
        remaining = iter(numbers)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            ahead = deque(pool.submit(self.shard, n) for n in islice(remaining, 2))
            while ahead:
                yield ahead.popleft().result()
                ahead.extend(pool.submit(self.shard, n) for n in islice(remaining, 1))

    def extend(self, listed: Iterable[Item], *, unit_size: int, most: int) -> Iterator[Shard]:
        """Plan what is not planned yet, shard by shard, as it is listed.

        Args:
            listed: The whole input, in the order of keys.
            unit_size: Items per unit.
            most: Items per shard.

        Raises:
            BatchError: Another run writes to the same output.
        """
        begun = self.num_shards
        planned = _unplanned(iter(listed), self._latest(begun))
        while True:
            size = min(most, _FIRST_SHARD << min(self.num_shards - begun, 20))
            rows = list(islice(planned, size))
            if not rows:
                return
            yield self._append(rows, unit_size, begun)

    def _append(self, rows: list["_Planned"], unit_size: int, begun: int) -> Shard:
        table = items_table(item for item, _ in rows)
        for part, name in enumerate(("shard", "unit")):  # where it was planned before
            numbers = [None if former is None else former[part] for _, former in rows]
            table = table.append_column(name, pa.array(numbers, pa.int64()))
        facts = json.dumps({"unit_size": unit_size, "begun": begun})
        table = table.replace_schema_metadata({_FACTS: facts.encode()})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        number = self.num_shards
        if not self._place.create(_name(number), sink.getvalue().to_pybytes()):
            raise BatchError(
                f"another run writes to {self._place.address} at this moment ({_name(number)} is "
                "there): wait for its end, or stop it"
            )
        self.num_shards += 1
        return Shard(number, table, unit_size, begun)

    def _latest(self, num_shards: int) -> Iterator["_Planned"]:
        """Give each item as it was planned last, and where, in the order of keys.

        Holds one shard of every run at a time.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            begun = list(pool.map(self._begun, range(num_shards)))
        runs = [
            self._planned_by([n for n in range(num_shards) if begun[n] == first])
            for first in sorted(set(begun))
        ]
        last: _Planned | None = None
        for planned in heapq.merge(*runs, key=lambda planned: planned[0].key):  # later runs last
            if last is not None and last[0].key != planned[0].key:
                yield last
            last = planned
        if last is not None:
            yield last

    def _begun(self, number: int) -> int:
        with self._place.open(_name(number)) as file:
            metadata: dict[bytes, bytes] = pq.read_schema(file).metadata
        return int(json.loads(metadata[_FACTS])["begun"])

    def _planned_by(self, numbers: list[int]) -> Iterator["_Planned"]:
        for number in numbers:
            shard = self.shard(number)
            for index, item in enumerate(shard.items()):
                yield item, (number, index // shard.unit_size)


_Planned = tuple[Item, Former | None]


def _unplanned(listed: Iterator[Item], former: Iterator[_Planned]) -> Iterator[_Planned]:
    """Give what is new, and what has another content than when it was planned."""
    known: Any = next(former, None)
    for item in listed:
        while known is not None and known[0].key < item.key:
            known = next(former, None)
        if known is None or known[0].key != item.key:
            yield item, None
        elif (known[0].etag, known[0].size) != (item.etag, item.size):
            yield item, known[1]


def _name(number: int) -> str:
    return f"plan/{number:08}.parquet"
