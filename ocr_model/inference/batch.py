"""Batch OCR on Ray Data: units are listed, fetched and read wherever the cluster has room.

A unit is one row of the dataset, which Ray Data never divides: whatever it retries, splits or
merges, a unit is read as a whole and written to the one file that has its number.
"""

import json
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import pyarrow as pa
import ray
import ray.data

from ocr_model.errors import ClusterError, OCRError
from ocr_model.inference.batch_feed import Feed, FeedHandle
from ocr_model.inference.batch_pipeline import Load, batch_dataset
from ocr_model.inference.bulk.ledger import Counts, Ledger
from ocr_model.inference.bulk.listing import Listing
from ocr_model.inference.bulk.manifest import BatchResult, Manifest
from ocr_model.inference.bulk.plan import Plan
from ocr_model.inference.bulk.reading import UnitReader
from ocr_model.inference.bulk.report import write_report

Report = Callable[[dict[str, Any]], None]

_MOST_MARKS = 2_000
_UNITS_SHOWN = 4


class _Run:
    """One run, as the driver sees it."""

    def __init__(self, manifest: Manifest, report: Report) -> None:
        self.config, self.report = manifest.config, report
        self.ledger, self.plan = Ledger(manifest.place), Plan(manifest.place)
        self.listing = Listing(self.config)
        self.feed: FeedHandle = ray.remote(num_cpus=0)(Feed).remote()
        self.counts = Counts()
        self.marks: list[tuple[float, int]] = []
        self.last_units = deque[tuple[int, int]](maxlen=_UNITS_SHOWN)
        self.began = time.monotonic()
        self.stopped = ""
        self.fault: BaseException | None = None
        self._missing: dict[int, int] = {}  # units of shards that are not finished, in their order
        self._planner = threading.Thread(target=self._plan_all, daemon=True)

    def stop(self, reason: str) -> None:
        """Let no further unit begin."""
        if not self.stopped:
            self.abandon(reason)
            self.report({"event": "stopping", "reason": reason})

    def abandon(self, reason: str) -> None:
        """Plan no further, and give no unit out."""
        self.stopped = reason
        self.feed.close.remote(is_stopped=True)

    def begin(self) -> None:
        """List and plan, beside the reading."""
        self._planner.start()

    def end(self) -> None:
        """Wait for the planner, and raise what it met."""
        self._planner.join()
        if self.fault is not None:
            raise self.fault

    def add(self, shard: int, unit: int, counts: Counts) -> None:
        """Take note of a unit that was read."""
        self._missing[shard] -= 1
        self.counts.add(counts)
        self.last_units.append((shard, unit))
        self.marks.append((time.monotonic() - self.began, self.counts.images))
        if len(self.marks) > _MOST_MARKS:
            self.marks = self.marks[1::2]
        self.report({"event": "unit", "counts": counts})
        bad, most = self.counts.num_errors, self.config.max_error_rate
        if self.counts.images >= self.config.judged_from and bad > most * self.counts.pages:
            rate = f"{bad:,} of {self.counts.pages:,} could not be read"
            self.stop(f"{rate}, more than max_error_rate={most:g}")

    def finish_shards(self) -> bool:
        """Close the shards that are complete, in their order; say whether all are."""
        for shard, num_missing in list(self._missing.items()):
            if num_missing:
                return False
            self.ledger.finish(self.plan.shard(shard), jsonl=self.config.jsonl)
            del self._missing[shard]
        return True

    def _plan_all(self) -> None:
        try:
            finished = self.ledger.done_shards()
            num_images = self.ledger.totals().images if finished else 0
            self._tell(num_images, num_images)
            begun = [n for n in range(self.plan.num_shards) if n not in finished]
            for shard in self.plan.shards(begun):
                done = self.ledger.done_units(shard.number)
                self._give(shard.number, [n for n in range(shard.num_units) if n not in done])
                self._tell(shard.table.num_rows, len(done) * shard.unit_size)
            config = self.config
            for shard in self.plan.extend(
                self.listing, unit_size=config.images_per_unit, most=config.shard_images
            ):
                self._give(shard.number, list(range(shard.num_units)))
                self._tell(shard.table.num_rows, 0)
                if self.stopped:
                    break
        except BaseException as error:  # noqa: BLE001  # raised by the driver's thread, in `end`
            self.fault = error
        self.report({"event": "listed"})
        self.feed.close.remote(is_stopped=self.fault is not None)

    def _give(self, shard: int, units: list[int]) -> None:
        self._missing[shard] = len(units)
        if units:
            ray.get(self.feed.add.remote(shard, units))

    def _tell(self, images: int, done: int) -> None:
        self.report({"event": "planned", "images": images, "done": min(done, images)})


def read_batch(
    manifest: Manifest, report: Report = lambda _: None, load: Load | None = None
) -> BatchResult:
    """Read what is not read yet, on the connected cluster.

    The first Ctrl-C lets the units in flight end, the second does not.

    Args:
        manifest: From `begin`. The same settings with the same output go on where a run stopped.
        report: Called with `planned`, `listed`, `unit` and `stopping`, from two threads.
        load: Makes what reads, once per process; None: the settings' models.

    Raises:
        StorageError: Input or output does not answer any more; the same command goes on.
        BatchError: Another run writes to the same output.
        ClusterError: There is no room for one reader, or Ray gave up.
    """
    config = manifest.config
    manifest.begin_run()
    run = _Run(manifest, report)
    dataset = batch_dataset(config, run.feed, load or partial(UnitReader, config))
    run.begin()
    with _stopping_on_interrupt(run):
        for shard, unit, counts in _results(dataset, run):
            if counts is not None:
                run.add(shard, unit, counts)
                run.finish_shards()
        run.end()
        is_complete = run.finish_shards() and not run.stopped
    result = BatchResult(
        "complete" if is_complete else run.stopped or "incomplete",
        counts=run.counts,
        totals=run.ledger.totals(),
        seconds=time.monotonic() - run.began,
        marks=run.marks,
        last_units=list(run.last_units),
        num_ignored=run.listing.num_ignored,
        num_machines=sum(node["Alive"] for node in ray.nodes()),
    )
    manifest.end_run(result)
    write_report(manifest, result)
    return result


def _results(dataset: ray.data.Dataset, run: _Run) -> Iterator[tuple[int, int, Counts | None]]:
    try:
        for block in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
            for row in cast("pa.Table", block).to_pylist():
                stored = row["counts"]
                counts = Counts.from_json(json.loads(stored)) if stored else None
                yield row["shard"], row["unit"], counts
    except (ray.exceptions.RayError, RuntimeError) as error:
        run.abandon("failed")
        cause = _own_error(error)
        if cause is not None:
            raise cause from error
        raise ClusterError(
            f"Ray gave up; the same command goes on. {' '.join(str(error).split())[:1_000]}"
        ) from error


def _own_error(error: BaseException | None) -> OCRError | None:
    """Return what a worker raised on purpose, from below what Ray wraps it in."""
    while error is not None and not isinstance(error, OCRError):
        error = getattr(error, "cause", None) or error.__cause__
    return error


@contextmanager
def _stopping_on_interrupt(run: _Run) -> Iterator[None]:
    """Stop the run on the first Ctrl-C; the second interrupts as usual."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, former)
        run.stop("interrupted")

    former = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
