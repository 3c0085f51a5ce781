"""What was done: the names of files say it, so no ids are kept anywhere.

| file | what it is |
|---|---|
| `rows/00000007/000012.parquet` | the rows of unit 12 of shard 7: there, or not there |
| `quarantine/00000007/000012.jsonl` | those of them that have an error, written before |
| `attempts/00000007/000012` | the unit is being read, or its process died |
| `done/00000007.json` | all units of the shard are there; counts of them |
"""

import json
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ocr_model.inference.bulk.items import Item
from ocr_model.inference.bulk.places import Place
from ocr_model.inference.bulk.plan import Shard, unit_name
from ocr_model.inference.bulk.rows import clean

_AT_ONCE = 16
_FACTS = b"ocr_on_ray"


@dataclass
class Counts:
    """What became of some images; counts of others can be added."""

    images: int = 0
    """Inputs; a document of many pages is one."""
    pages: int = 0
    words: int = 0
    bytes: int = 0
    """Of the inputs, where the listing says."""
    errors: Counter[str] = field(default_factory=Counter)
    """Rows that were not read, by reason."""

    @classmethod
    def of(cls, rows: pa.Table) -> "Counts":
        """Count rows."""
        is_bad = pc.not_equal(rows["error"], "")
        reasons = [error.partition(":")[0] for error in rows["error"].filter(is_bad).to_pylist()]
        inputs = rows.select(["uri", "member", "size"]).group_by(["uri", "member", "size"])
        sizes = inputs.aggregate([])["size"]
        has_words = pc.is_valid(rows["words"])
        in_pages = pc.sum(pc.list_value_length(rows["words"])).as_py() or 0
        alone = pc.sum(pc.and_(pc.invert(has_words), pc.invert(is_bad))).as_py() or 0
        return cls(
            images=len(sizes),
            pages=rows.num_rows,
            words=in_pages + alone,
            bytes=pc.sum(sizes).as_py() or 0,
            errors=Counter(reasons),
        )

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Counts":
        """Undo `to_json`."""
        return cls(**{**stored, "errors": Counter(stored["errors"])})

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**vars(self), "errors": dict(self.errors)}

    def add(self, other: "Counts") -> None:
        """Count others too."""
        self.images += other.images
        self.pages += other.pages
        self.words += other.words
        self.bytes += other.bytes
        self.errors.update(other.errors)

    @property
    def num_errors(self) -> int:
        """Rows that were not read."""
        return self.errors.total()


class Ledger:
    """The files of an output."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def done_shards(self) -> set[int]:
        """Return the shards that are finished."""
        return {int(entry.key[-13:-5]) for entry in self.place.entries("done")}

    def done_units(self, shard: int) -> set[int]:
        """Return the units of a shard whose rows are there."""
        return {int(entry.key[-14:-8]) for entry in self.place.entries(f"rows/{shard:08}")}

    def bad_units(self, shard: int) -> set[int]:
        """Return the units of a shard some of whose rows were not read."""
        return {int(entry.key[-12:-6]) for entry in self.place.entries(f"quarantine/{shard:08}")}

    def begin(self, unit: str) -> bool:
        """Mark a unit as being read; False where it was marked: its process may have died."""
        return self.place.create(f"attempts/{unit}", b"")

    def write(self, unit: str, rows: pa.Table, *, jsonl: bool = False) -> Counts:
        """Write a unit's rows; once they are there, it is done. The same ones give the same files.

        Raises:
            StorageError: There is no space, no permission, or no answer.
        """
        counts = Counts.of(rows)
        bad = rows.filter(pc.not_equal(rows["error"], ""))
        if bad.num_rows:
            listed = bad.select(["uri", "member", "page", "error", "size", "etag"])
            self.place.write(f"quarantine/{unit}.jsonl", _lines(listed))
        if jsonl:
            self.place.write(f"jsonl/{unit}.jsonl", _lines(rows))
        facts = {_FACTS: json.dumps(counts.to_json()).encode()}
        sink = pa.BufferOutputStream()
        pq.write_table(rows.replace_schema_metadata(facts), sink, compression="zstd")
        self.place.write(f"rows/{unit}.parquet", sink.getvalue().to_pybytes())
        self.place.delete(f"attempts/{unit}")
        return counts

    def read(self, unit: str) -> pa.Table:
        """Return a unit's rows."""
        data = self.place.read(f"rows/{unit}.parquet")
        return pq.read_table(pa.BufferReader(data))

    def finish(self, shard: Shard, *, jsonl: bool = False) -> Counts:
        """Take out what this shard replaces in former ones, and write down that it is finished.

        All units of it, and of the shards before, must be there. May be done again.
        """
        touched = set[int]()
        for (former, unit), items in shard.replaced().items():
            if self._take_out(unit_name(former, unit), items, jsonl=jsonl):
                touched.add(former)
        for former in touched:
            self._summarize(former, sorted(self.done_units(former)))
        return self._summarize(shard.number, range(shard.num_units))

    def totals(self, shards: Iterable[int] | None = None) -> Counts:
        """Return the counts of some finished shards; None: of all."""
        total = Counts()
        keys = [f"done/{n:08}.json" for n in (self.done_shards() if shards is None else shards)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for data in pool.map(self.place.read, keys):
                total.add(Counts.from_json(json.loads(data)))
        return total

    def _summarize(self, shard: int, units: Iterable[int]) -> Counts:
        counts = Counts()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for found in pool.map(self.counts, (unit_name(shard, unit) for unit in units)):
                counts.add(found)
        self.place.write(f"done/{shard:08}.json", json.dumps(counts.to_json()).encode())
        return counts

    def counts(self, unit: str) -> Counts:
        """Return what became of a unit that is done, by its file's footer."""
        with self.place.open(f"rows/{unit}.parquet") as file:
            metadata: dict[bytes, bytes] = pq.read_schema(file).metadata
        return Counts.from_json(json.loads(metadata[_FACTS]))

    def _take_out(self, unit: str, items: list[Item], *, jsonl: bool) -> bool:
        rows = self.read(unit)
        replaced = {(clean(item.uri), clean(item.member)) for item in items}
        places = zip(rows["uri"].to_pylist(), rows["member"].to_pylist(), strict=True)
        stays = [place not in replaced for place in places]
        if all(stays):
            return False
        kept = rows.filter(pa.array(stays))
        if not (kept.num_rows and pc.any(pc.not_equal(kept["error"], "")).as_py()):
            self.place.delete(f"quarantine/{unit}.jsonl")
        self.write(unit, kept, jsonl=jsonl)
        return True


def _lines(rows: pa.Table) -> bytes:
    return b"".join(
        json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n"
        for row in rows.to_pylist()
    )
