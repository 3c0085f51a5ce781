"""Word images through Ray Data: read, decoded and augmented wherever the cluster has CPUs."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import lru_cache
from typing import Any, cast

import numpy as np
import pyarrow as pa
import ray
import ray.data
from ray.data import DataContext, ExecutionResources
from ray.exceptions import RayTaskError

from ocr_model.data.batching import EpochPlan
from ocr_model.data.fragments import Fragment
from ocr_model.data.labels import FragmentScan
from ocr_model.data.loading import Batch, Columns, LocalData

_FEW_FRAGMENTS = 64
_MAX_TASKS = 5_000  # of one execution; Ray Data plans them all at its start
_POLITE = 19  # niceness
_VALIDATION = -1
_BLOCK_BYTES = 8 * 2**20  # a task hands over what it has loaded as it goes
_PREFETCHED_BLOCKS = 2

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

    def num_steps(self, epoch: int) -> int:
        """Return the number of steps of an epoch."""
        return self._local.num_steps(epoch)

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
        num_steps = self.num_steps(epoch)
        for step in range(start_step, num_steps):
            batch = next(self._train_stream, None)
            if batch is None:
                self._train_stream = self._open_train_stream(epoch, step)
                batch = next(self._train_stream)
            self._position = (epoch + 1, 0) if step + 1 == num_steps else (epoch, step + 1)
            yield batch

    def _open_train_stream(self, epoch: int, start_step: int) -> Iterator[Batch]:
        """Stream as many epochs as `_MAX_TASKS` allows, beginning within the first."""
        spans: list[_Span] = []
        for later in range(epoch, self._epochs):
            if len(spans) >= _MAX_TASKS:
                break
            first = start_step if later == epoch else 0
            spans += [(later, *span) for span in self._local.task_spans(later, first)]
        return self._stream(spans)

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
        return self._stream([(_VALIDATION, *span) for span in self._local.validation_spans()])

    def _stream(self, spans: list[_Span]) -> Iterator[Batch]:
        if not spans:
            return
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.target_max_block_size = _BLOCK_BYTES
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
        for block in dataset.iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=_PREFETCHED_BLOCKS
        ):
            yield from map(Batch.from_columns, unpack(cast("pa.Table", block)))


def load_spans(
    rows: Columns,
    data: ray.ObjectRef[LocalData],
    spans: ray.ObjectRef[list[_Span]],
    is_polite: bool,
) -> Iterator[pa.Table]:
    """Load the spans whose numbers are in the column `id`: what one Ray Data task does."""
    if is_polite:
        os.setpriority(os.PRIO_PROCESS, 0, _POLITE)
    held: list[_Span] = ray.get(spans)
    for number in rows["id"]:
        epoch, start, stop = held[number]
        local = _local_data(data)
        if epoch == _VALIDATION:
            yield pack(local.load_validation(start, stop))
        else:
            plan = _epoch_plan(data, epoch)
            for columns in local.train_plan.load_task(
                plan, start, stop, local.rank, local.world_size
            ):
                yield pack(columns)


@lru_cache(maxsize=1)
def _local_data(data: ray.ObjectRef[LocalData]) -> LocalData:
    """Keep what a worker process was handed: of 9 million rows, unpickling takes its time."""
    local: LocalData = ray.get(data)
    return local


@lru_cache(maxsize=2)
def _epoch_plan(data: ray.ObjectRef[LocalData], epoch: int) -> EpochPlan:
    return _local_data(data).train_plan.epoch(epoch)


def pack(columns: Columns) -> pa.Table:
    """Return a table of one row, which Ray Data never cuts, whatever the images' size.

    Rows of several steps in one block would be of several shapes, which Arrow's tensors cannot be.
    """
    images = columns["images"]
    # By its buffers, without a copy: `pa.array` of a memoryview never frees it (pyarrow 26).
    buffers = [None, pa.py_buffer(np.array([0, images.nbytes])), pa.py_buffer(images)]
    arrays = {"images": pa.Array.from_buffers(pa.large_binary(), 1, buffers)}
    arrays["shape"] = pa.array([list(images.shape)], pa.list_(pa.int64()))
    for name in ("content_width", "class_ids", "num_chars"):
        arrays[name] = pa.array([columns[name].reshape(-1)], pa.list_(pa.int64()))
    for name in ("label", "key", "error"):
        arrays[name] = pa.array([columns[name].tolist()], pa.list_(pa.string()))
    return pa.table(arrays)


def unpack(block: pa.Table) -> Iterator[Columns]:
    """Undo `pack` for each row; the pixels stay where they are, in shared memory."""
    for row in range(block.num_rows):
        scalars = {name: block[name][row] for name in block.column_names}
        shape = scalars["shape"].as_py()
        images = np.frombuffer(scalars["images"].as_buffer(), np.uint8).reshape(shape)
        columns: Columns = {"images": images}
        for name in ("content_width", "class_ids", "num_chars"):
            columns[name] = scalars[name].values.to_numpy()
        columns["class_ids"] = columns["class_ids"].reshape(shape[0], -1)
        for name in ("label", "key", "error"):
            columns[name] = np.array(scalars[name].as_py(), object)
        yield columns


def scan_in_parallel(
    scan: Callable[[Fragment], FragmentScan], fragments: list[Fragment]
) -> Iterable[FragmentScan]:
    """Judge labels on the cluster; a few fragments are quicker in this process."""
    if len(fragments) <= _FEW_FRAGMENTS:
        return map(scan, fragments)
    task: Any = ray.remote(num_cpus=1)(scan_many).remote
    groups = [fragments[i : i + 16] for i in range(0, len(fragments), 16)]
    futures = [task(scan, group) for group in groups]

    def results() -> Iterator[FragmentScan]:
        for future in futures:
            try:
                yield from ray.get(future)
            except RayTaskError as error:
                raise unwrapped(error) from error

    return results()


def unwrapped(error: BaseException) -> BaseException:
    """Return what a Ray task raised, without what Ray says of where; or the error itself."""
    while isinstance(error, RayTaskError):
        error = error.cause
    return error


def scan_many(
    scan: Callable[[Fragment], FragmentScan], fragments: list[Fragment]
) -> list[FragmentScan]:
    """Scan some fragments in one task."""
    return [scan(fragment) for fragment in fragments]
