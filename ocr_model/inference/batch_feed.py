"""The units of a batch run on their way to the readers: who gives them out, who fetches the images.

Apart from `batch.py`, and without torch: the processes that list and fetch stay small.
"""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any, TypeAlias

import pyarrow as pa
import ray
from ray.data import DataContext
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from ocr_model.errors import ImageError
from ocr_model.inference.bulk.fetching import Content, fetch
from ocr_model.inference.bulk.places import open_place
from ocr_model.inference.bulk.plan import Unit, read_shard


class Feed:
    """An actor that says which units are to be read; the same answer to the same question."""

    def __init__(self) -> None:
        self._shards: list[tuple[int, list[int]]] = []
        self._is_closed = self._is_stopped = False
        self._changed = asyncio.Condition()

    async def add(self, shard: int, units: list[int]) -> None:
        """Give units of a shard out."""
        async with self._changed:
            self._shards.append((shard, units))
            self._changed.notify_all()

    async def close(self, *, is_stopped: bool) -> None:
        """Say that there are no more; where it is stopped, not even those that were given out."""
        async with self._changed:
            self._is_closed = True
            self._is_stopped |= is_stopped
            self._changed.notify_all()

    async def get(self, index: int) -> tuple[int, list[int]] | None:
        """Wait for a shard's units; None behind the last."""
        async with self._changed:
            while index >= len(self._shards) and not self._is_closed:
                await self._changed.wait()
            return self._shards[index] if index < len(self._shards) else None

    async def is_stopped(self) -> bool:
        """Say whether units that are not begun should stay so."""
        return self._is_stopped


FeedHandle: TypeAlias = Any
"""Ray's handle of a `Feed`; `ActorHandle` says of no method what it takes and gives."""


class ListUnits(Datasource):
    """Units, one row each, as they are planned."""

    def __init__(self, feed: FeedHandle, output: str) -> None:
        self._feed, self._output = feed, output

    @property
    def supports_distributed_reads(self) -> bool:
        """Stay beside the driver: what this task gave out is lost with its machine."""
        return False

    def estimate_inmemory_data_size(self) -> int | None:
        """Nobody knows."""
        return None

    def get_read_tasks(
        self,
        parallelism: int,
        per_task_row_limit: int | None = None,
        data_context: DataContext | None = None,
    ) -> list[Any]:  # of ReadTask, whose own base beartype cannot check
        """Return the one task, which runs as long as the driver plans."""
        unknown = BlockMetadata(None, None, None, None)
        return [ReadTask(partial(_give_units, self._feed, self._output), unknown)]


def _give_units(feed: FeedHandle, output: str) -> Iterator[pa.Table]:
    place = open_place(output)
    index = 0
    while (given := ray.get(feed.get.remote(index))) is not None:
        shard, units = given
        for unit in read_shard(place, shard).units_of(units):
            if ray.get(feed.is_stopped.remote()):
                return
            yield unit.to_table()
        index += 1


class FetchImages:
    """Adds the images' bytes to units."""

    def __init__(self, *, at_once: int, most_bytes: int, column: str) -> None:
        self._at_once, self._most_bytes, self._column = at_once, most_bytes, column

    def __call__(self, block: pa.Table) -> pa.Table:
        """Fetch one unit."""
        contents = fetch(
            Unit.from_table(block).items,
            at_once=self._at_once,
            most_bytes=self._most_bytes,
            column=self._column,
        )
        images = [None if isinstance(content, ImageError) else content for content in contents]
        faults = [
            [content.reason, content.detail] if isinstance(content, ImageError) else None
            for content in contents
        ]
        block = block.append_column("images", pa.array([images], pa.list_(pa.large_binary())))
        return block.append_column("faults", pa.array([faults], pa.list_(pa.list_(pa.string()))))


def contents_of(block: pa.Table) -> list[Content]:
    """Return what was fetched of a unit."""
    return [
        ImageError(*fault.as_py()) if fault.is_valid else image.as_py()
        for image, fault in zip(block["images"][0], block["faults"][0], strict=True)
    ]
