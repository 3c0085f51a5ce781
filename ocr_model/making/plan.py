"""Which rows go into which shard: written down first, so that every later run knows."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any
from zlib import crc32

from ocr_model.data.fragments import Fragment, Rows
from ocr_model.data.index import rows_of_subset
from ocr_model.data.source_config import Subset
from ocr_model.differences import list_differences
from ocr_model.errors import DatasetError
from ocr_model.making.config import MakeDatasetConfig
from ocr_model.storage import Folder

PLAN_FILE = "plan.json"
_VERSION = 1


@dataclass(frozen=True)
class Shard:
    """The rows of the source that one file is made of."""

    name: str
    """Of the file, below the dataset's folder: `train/train-00003-of-00040.parquet`."""
    subset: Subset
    pieces: tuple[tuple[Fragment, Rows], ...]

    @property
    def num_rows(self) -> int:
        """Rows that are read; those dropped are among them."""
        return sum(len(rows) for _, rows in self.pieces)

    def to_json(self) -> dict[str, Any]:
        """Return plain values: of each piece where it is, how many rows, and their checksum."""
        pieces = [
            f"{part.uri}#{part.part}: {len(rows)} of {part.num_rows} rows, "
            f"{crc32(rows.astype('<i8').tobytes()):08x}"
            for part, rows in self.pieces
        ]
        return {"name": self.name, "num_rows": self.num_rows, "pieces": pieces}


@dataclass(frozen=True)
class Plan:
    """All shards of a dataset."""

    config: MakeDatasetConfig
    shards: tuple[Shard, ...]

    def num_rows(self, subset: Subset) -> int:
        """Rows of the source that a subset is made of."""
        return sum(shard.num_rows for shard in self.shards if shard.subset == subset)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, and a digest of them."""
        content = {
            "version": _VERSION,
            "config": self.config.content(),
            "rows": {subset: self.num_rows(subset) for subset in self.config.subsets},
            "shards": [shard.to_json() for shard in self.shards],
        }
        return {"digest": _digest(content), **content}

    @cached_property
    def digest(self) -> str:
        """Names the plan: the same where settings and source are.

        Of files it knows names, row groups and numbers of rows, not what is in them.
        """
        return str(self.to_json()["digest"])


def make_plan(config: MakeDatasetConfig) -> Plan:
    """List what each shard is made of; reads no label and no image.

    Raises:
        DatasetError: The source, or the subset that is wanted, is missing or empty.
        ConfigError: A setting of the source has no effect.
    """
    shards = []
    for subset in config.subsets:
        index = rows_of_subset(config.data, subset)
        if not index.num_rows and config.subset != "all":
            raise DatasetError(
                f"data.source={config.data.source} has no {subset} part; data.validation_fraction "
                "sets rows apart for validation"
            )
        pieces = zip(index.fragments, index.rows, strict=True)
        runs = list(_cut(pieces, config.rows_per_shard))
        shards += [
            Shard(f"{subset}/{subset}-{i:05d}-of-{len(runs):05d}.parquet", subset, run)
            for i, run in enumerate(runs)
        ]
    if not shards:
        raise DatasetError(f"data.source={config.data.source} has no rows")
    return Plan(config, tuple(shards))


def store_plan(plan: Plan, folder: Folder) -> bool:
    """Write the plan, or find it written; say which: True where the dataset was begun before.

    Raises:
        DatasetError: The folder holds something else, or a dataset of other settings or of
            another state of the source; the message names what differs.
    """
    ours = plan.to_json()
    former = folder.read(PLAN_FILE)
    if former is None:
        found = folder.names()
        if found:
            raise DatasetError(
                f"output {folder.address} has no {PLAN_FILE} but holds {found[:5]}; give an empty "
                "or a new folder"
            )
        folder.write(PLAN_FILE, json.dumps(ours, indent=1, ensure_ascii=False).encode())
        return False
    try:
        theirs = json.loads(former)
        differences = list_differences(theirs["config"], ours["config"])
        digest, rows = theirs["digest"], theirs["rows"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{folder.address}/{PLAN_FILE} cannot be read: {error}") from error
    if differences:
        raise DatasetError(
            f"output {folder.address} holds a dataset of other settings: {differences}. "
            "Give another output, or these settings"
        )
    if digest != ours["digest"]:
        raise DatasetError(
            f"the source has changed since the dataset in {folder.address} was begun: it had "
            f"{rows} rows, now {ours['rows']}. Give another output"
        )
    return True


def _cut(
    pieces: Iterator[tuple[Fragment, Rows]], size: int
) -> Iterator[tuple[tuple[Fragment, Rows], ...]]:
    """Cut the rows of all fragments, one behind the other, into runs of `size`."""
    run: list[tuple[Fragment, Rows]] = []
    room = size
    for fragment, rows in pieces:
        start = 0
        while start < len(rows):
            part = rows[start : start + room]
            run.append((fragment, part))
            start, room = start + len(part), room - len(part)
            if not room:
                yield tuple(run)
                run, room = [], size
    if run:
        yield tuple(run)


def _digest(content: dict[str, Any]) -> str:
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
