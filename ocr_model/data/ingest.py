"""Word images through Ray Data: read, decoded and augmented wherever the cluster has CPUs."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, cast

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
_VALIDATION = -1

_Span = tuple[int, int, int]
"""Epoch, first and last step of a training task; or `_VALIDATION`, first and last sample."""

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

    @property
    def fingerprint(self) -> int:
        """A number that changes when other rows make up the training part."""
        return self._local.fingerprint

    def train_batches(self, epoch: int, start_step: int) -> Iterator[Batch]:
        """Yield this rank's part of each global batch from `start_step` on.

        One stream runs on over the ends of epochs, so the next epoch's first batches are loaded
        while the last is validated.
        """
        if (epoch, start_step) != self._position:
            self._position = (epoch, start_step)
            self.close()
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
        per_task = self._local.train_plan.task_steps(self._local.world_size)
        spans: list[_Span] = []
        for later in range(epoch, self._epochs):
            if len(spans) >= _MAX_TASKS:
                break
            first = start_step if later == epoch else 0
            spans += [
                (later, start, min(start + per_task, self.num_steps))
                for start in range(first, self.num_steps, per_task)
            ]
        batch_size = self._local.train_plan.batch_size // self._local.world_size
        return self._stream(spans, batch_size)

    def close(self) -> None:
        """Stop loading ahead."""
        if isinstance(self._train_stream, Generator):
            self._train_stream.close()
        self._train_stream = iter(())

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
        local = self._local
        size = local.train_plan.batch_size // local.world_size
        starts = range(local.rank * size, local.validation_index.num_rows, size * local.world_size)
        return self._stream([(_VALIDATION, start, start + size) for start in starts], size)

    def _stream(self, spans: list[_Span], batch_size: int) -> Iterator[Batch]:
        if not spans:
            return
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.execution_options.preserve_order = True
        if self._cpus is not None:
            context.execution_options.resource_limits = ExecutionResources(cpu=self._cpus)
        dataset = ray.data.range(len(spans), override_num_blocks=len(spans)).map_batches(
            load_spans,  # type: ignore[arg-type]  # the stub forgets fn_kwargs
            batch_size=None,  # with a number, Ray Data would not fuse this with the read
            fn_kwargs={
                "data": self._local_ref,
                "spans": ray.put(spans),
                "is_polite": self._is_polite,
            },
        )
        for columns in dataset.iter_batches(
            batch_size=batch_size, batch_format="numpy", prefetch_batches=2
        ):
            yield Batch.from_columns(cast("Columns", columns))


def load_spans(
    rows: Columns,
    data: ray.ObjectRef[LocalData],
    spans: ray.ObjectRef[list[_Span]],
    is_polite: bool,
) -> Iterator[Columns]:
    """Load the spans whose numbers are in the column `id`: what one Ray Data task does."""
    if is_polite:
        os.setpriority(os.PRIO_PROCESS, 0, _POLITE)
    local: LocalData = ray.get(data)
    held: list[_Span] = ray.get(spans)
    for number in rows["id"]:
        epoch, start, stop = held[number]
        if epoch == _VALIDATION:
            references = sequential(local.validation_index, start, stop)
            yield local.validation_loader.load(references, epoch=0)
        else:
            yield local.train_plan.load_task(epoch, start, stop, local.rank, local.world_size)


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
