"""Batches that are formed when the model is free, across requests.

`@serve.batch` forms a batch before the model is free, and so under load sends half-empty ones; here
the worker takes what waits at the moment at which it can compute.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class BatchReport:
    """What one batch was."""

    num_jobs: int
    num_items: int
    fill: float
    """Cost by the bound; above 1 where one job alone costs more."""
    seconds_waited: float
    """By the job that waited longest."""
    seconds_computed: float


@dataclass
class _Job(Generic[Item, Result]):
    items: Sequence[Item]
    key: Hashable
    cost: float
    future: "Future[list[Result]]" = field(default_factory=Future)
    submitted: float = field(default_factory=time.monotonic)


class Batcher(Generic[Item, Result]):
    """One thread that computes what others submit; a job's items are never parted."""

    def __init__(
        self,
        compute: Callable[[Hashable, list[Item]], Sequence[Result]],
        max_cost: float,
        on_batch: Callable[[BatchReport], None] = lambda report: None,
    ) -> None:
        """Start the thread.

        Args:
            compute: Takes the key and the items of one or more jobs, gives one result each.
            max_cost: Of a batch, in what `submit` counts; a job that costs more goes alone.
            on_batch: Is told of each batch, on the thread.
        """
        self._compute, self._max_cost, self._on_batch = compute, max_cost, on_batch
        self._waiting: deque[_Job[Item, Result]] = deque()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    def submit(
        self, items: Sequence[Item], *, cost: float, key: Hashable = None
    ) -> "Future[list[Result]]":
        """Queue a job; a future that is cancelled before its turn costs nothing.

        Jobs share a batch where their `key` is equal.

        Raises:
            RuntimeError: The thread has ended.
        """
        job = _Job[Item, Result](items, key, cost)
        with self._changed:
            if not self.is_alive:
                raise RuntimeError("the batcher's thread has ended")
            self._waiting.append(job)
            self._changed.notify()
        return job.future

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _work(self) -> None:
        while True:
            batch = self._next_batch()
            claimed = [job for job in batch if job.future.set_running_or_notify_cancel()]
            if claimed:
                self._run(claimed)

    def _next_batch(self) -> list[_Job[Item, Result]]:
        """Wait for jobs; return the oldest and those that fit to it."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                batch = self._take()
            if batch:  # all that waited may have been cancelled
                return batch

    def _take(self) -> list[_Job[Item, Result]]:
        batch: list[_Job[Item, Result]] = []
        others: deque[_Job[Item, Result]] = deque()
        cost = 0.0
        for job in self._waiting:
            if job.future.cancelled():
                continue
            if batch and (job.key != batch[0].key or cost + job.cost > self._max_cost):
                others.append(job)
                continue
            batch.append(job)
            cost += job.cost
        self._waiting = others
        return batch

    def _run(self, batch: list[_Job[Item, Result]]) -> None:
        began = time.monotonic()
        items = [item for job in batch for item in job.items]
        try:
            results = self._compute(batch[0].key, items)
            if len(results) != len(items):
                raise ValueError(f"{len(results)} results of {len(items)} items")
        except Exception as error:  # noqa: BLE001  # a border: the callers get it
            self._fail(batch, error)
            return
        self._on_batch(self._report(batch, began))  # before the callers go on: counts are complete
        remaining = iter(results)
        for job in batch:
            job.future.set_result(list(islice(remaining, len(job.items))))

    def _fail(self, batch: list[_Job[Item, Result]], error: Exception) -> None:
        """Let one bad job fail alone: of several, each is tried on its own."""
        if len(batch) == 1:
            batch[0].future.set_exception(error)
            return
        for job in batch:
            self._run([job])

    def _report(self, batch: list[_Job[Item, Result]], began: float) -> BatchReport:
        return BatchReport(
            num_jobs=len(batch),
            num_items=sum(len(job.items) for job in batch),
            fill=sum(job.cost for job in batch) / self._max_cost,
            seconds_waited=began - min(job.submitted for job in batch),
            seconds_computed=time.monotonic() - began,
        )
