"""Word images through Ray Data: read, decoded and augmented wherever the cluster has CPUs."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import numpy as np
import ray
import ray.data
from ray.data import DataContext, ExecutionResources

from ocr_model.data.fragments import Fragment
from ocr_model.data.index import FragmentScan
from ocr_model.data.loading import Batch, Columns, LocalData
from ocr_model.data.order import sequential

_FEW_FRAGMENTS = 64
_MAX_TASKS = 5_000  # of one execution; Ray Data plans them all at its start
_POLITE = 19  # niceness
_CACHED_VALIDATION_BYTES = 256 * 2**20


class RayData:
    """The same batches as `LocalData`, loaded by Ray Data tasks.

    Every rank runs a pipeline of its own over the part of the order that is its; blocks arrive in
    order, so a batch depends on seed, epoch and position alone.
    """

    def __init__(
        self,
        local: LocalData,
        *,
        epochs: int,
        cpus: float | None = None,
        is_polite: bool = False,
    ) -> None:
        """Wrap `local`.

        Args:
            local: What is loaded, by which rank.
            epochs: Epochs that will be read at most; nothing is loaded ahead beyond them.
            cpus: Bound on the logical CPUs that this rank's tasks use at a time.
            is_polite: Let data tasks run at the lowest priority. Where training itself computes on
                the CPU, a task that takes a core from one of its threads stalls all of them.
        """
        self._local = local
        self._local_ref = ray.put(local)
        self._epochs = epochs
        self._cpus = cpus
        self._is_polite = is_polite
        self._validation: list[Batch] | None = None
        self._train_stream: Iterator[Batch] = iter(())
        self._position = (-1, -1)  # the epoch and step that `_train_stream` gives next

    @property
    def num_steps(self) -> int:
        """Steps per epoch."""
        return self._local.num_steps

    def train_batches(self, epoch: int, start_step: int) -> Iterator[Batch]:
        """Yield this rank's part of each global batch from `start_step` on.

        One stream runs on over the ends of epochs, so the next epoch's first batches are loaded
        while the last is validated.
        """
        if (epoch, start_step) != self._position:
            self._position = (epoch, start_step)
            self._train_stream = iter(())
        for step in range(start_step, self.num_steps):
            batch = next(self._train_stream, None)
            if batch is None:
                self._train_stream = self._open_train_stream(epoch, step)
                batch = next(self._train_stream)
            at_end = step + 1 == self.num_steps
            self._position = (epoch + 1, 0) if at_end else (epoch, step + 1)
            yield batch

    def _open_train_stream(self, epoch: int, start_step: int) -> Iterator[Batch]:
        """Stream as many epochs as `_MAX_TASKS` allows, beginning within the first."""
        local, reference = self._local, self._local_ref
        per_task = local.train_plan.task_steps(local.world_size)
        spans = [(epoch, start) for start in range(start_step, self.num_steps, per_task)]
        for later in range(epoch + 1, self._epochs):
            if len(spans) >= _MAX_TASKS:
                break
            spans += [(later, start) for start in range(0, self.num_steps, per_task)]
        spans_ref = ray.put(spans)

        def load(task: int) -> Columns:
            held: LocalData = ray.get(reference)
            task_epoch, start = ray.get(spans_ref)[task]
            stop = min(start + per_task, held.num_steps)
            return held.train_plan.load_task(task_epoch, start, stop, held.rank, held.world_size)

        return self._stream(load, len(spans), local.train_plan.batch_size // local.world_size)

    def validation_batches(self) -> Iterator[Batch]:
        """Yield this rank's validation samples; small sets are decoded once and kept."""
        if self._validation is not None:
            yield from self._validation
            return
        kept: list[Batch] | None = []
        num_bytes = 0
        for batch in self._read_validation():
            num_bytes += batch.images.nbytes
            if num_bytes > _CACHED_VALIDATION_BYTES:
                kept = None
            if kept is not None:
                kept.append(batch)
            yield batch
        self._validation = kept

    def _read_validation(self) -> Iterator[Batch]:
        local, reference = self._local, self._local_ref
        size = local.train_plan.batch_size // local.world_size
        stride = size * local.world_size
        starts = range(local.rank * size, local.validation_index.num_rows, stride)

        def load(task: int) -> Columns:
            held: LocalData = ray.get(reference)
            references = sequential(held.validation_index, starts[task], starts[task] + size)
            return held.validation_loader.load(references, epoch=0)

        return self._stream(load, len(starts), size)

    def _stream(
        self, load: Callable[[int], Columns], num_tasks: int, batch_size: int
    ) -> Iterator[Batch]:
        if not num_tasks:
            return
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_options.preserve_order = True
        if self._cpus is not None:
            context.execution_options.resource_limits = ExecutionResources(cpu=self._cpus)

        is_polite = self._is_polite

        def load_rows(rows: dict[str, np.ndarray]) -> Iterator[Columns]:
            if is_polite:
                os.setpriority(os.PRIO_PROCESS, 0, _POLITE)
            for task in rows["id"]:
                yield load(int(task))

        dataset = ray.data.range(num_tasks, override_num_blocks=num_tasks).map_batches(
            load_rows,
            batch_size=None,  # with a number, Ray Data would not fuse this with the read
        )
        for columns in dataset.iter_batches(
            batch_size=batch_size, batch_format="numpy", prefetch_batches=2
        ):
            yield Batch.from_columns(cast("Columns", columns))


def scan_in_parallel(
    scan: Callable[[Fragment], FragmentScan], fragments: list[Fragment]
) -> Iterable[FragmentScan]:
    """Judge labels on the cluster; a few fragments are quicker in this process."""
    if len(fragments) <= _FEW_FRAGMENTS:
        return map(scan, fragments)
    task: Any = ray.remote(num_cpus=1)(scan_many).remote
    groups = [fragments[i : i + 16] for i in range(0, len(fragments), 16)]
    futures = [task(scan, group) for group in groups]
    return (result for future in futures for result in ray.get(future))


def scan_many(
    scan: Callable[[Fragment], FragmentScan], fragments: list[Fragment]
) -> list[FragmentScan]:
    """Scan some fragments in one task."""
    return [scan(fragment) for fragment in fragments]
