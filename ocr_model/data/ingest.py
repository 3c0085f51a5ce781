"""Word images and pages through Ray Data: made ready wherever the cluster has CPUs."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import pyarrow as pa
import ray
import ray.data
from ray.data import DataContext, ExecutionResources
from ray.exceptions import RayTaskError

from ocr_model.data.fragments import Fragment
from ocr_model.data.labels import FragmentScan
from ocr_model.data.loading import Columns

_FEW_FRAGMENTS = 64
_MAX_TASKS = 5_000  # of one execution; Ray Data plans them all at its start
_POLITE = 19  # niceness
_VALIDATION = -1
_BLOCK_BYTES = 8 * 2**20  # a task hands over what it has loaded as it goes
_PREFETCHED_BLOCKS = 2

_Span = tuple[int, int, int]
"""Epoch, first and last step of a training task; or `_VALIDATION`, first and last sample."""

_CACHED_VALIDATION_BYTES = 256 * 2**20
_SHAPE, _DTYPE = ".shape", ".dtype"  # behind the name of a column


TrainBatch = TypeVar("TrainBatch", covariant=True)
ValidationBatch = TypeVar("ValidationBatch", covariant=True)


@runtime_checkable  # for the tests, which check types at run time
class Loader(Protocol[TrainBatch, ValidationBatch]):
    """Loads what a rank reads, by spans that do not depend on each other."""

    @property
    def fingerprint(self) -> int:
        """A number that changes when other rows make up the training part."""

    def num_steps(self, epoch: int) -> int:
        """Return the number of steps of an epoch."""

    def task_spans(self, epoch: int, start_step: int) -> list[tuple[int, int]]:
        """Return first and last step of each task of an epoch from `start_step` on."""

    def task_loader(self, epoch: int) -> Callable[[int, int], Iterable[Columns]]:
        """Return what loads the steps of a span."""

    def train_batch(self, columns: Columns) -> TrainBatch:
        """Make a batch of a step's columns."""

    def validation_spans(self) -> list[tuple[int, int]]:
        """Return first and last sample of each of this rank's validation batches."""

    def load_validation(self, start: int, stop: int) -> Columns:
        """Load samples of the validation part."""

    def validation_batch(self, columns: Columns) -> ValidationBatch:
        """Make a batch of validation samples."""


class RayData(Generic[TrainBatch, ValidationBatch]):
    """The same batches as a loader gives, loaded by Ray Data tasks.

    Every rank runs a pipeline of its own over the part of the order that is its; blocks arrive in
    order, so a batch depends on seed, epoch and position alone.
    """

    def __init__(
        self,
        local: Loader[TrainBatch, ValidationBatch],
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
        self._validation: list[ValidationBatch] | None = None
        self._train_stream: Iterator[Columns] = iter(())
        self._position = (-1, -1)  # the epoch and step that `_train_stream` gives next

    def num_steps(self, epoch: int) -> int:
        """Return the number of steps of an epoch."""
        return self._local.num_steps(epoch)

    @property
    def fingerprint(self) -> int:
        """A number that changes when other rows make up the training part."""
        return self._local.fingerprint

    def train_batches(self, epoch: int, start_step: int) -> Iterator[TrainBatch]:
        """Yield this rank's part of each global batch from `start_step` on.

        One stream runs on over the ends of epochs, so the next epoch's first batches are loaded
        while the last is validated.
        """
        if (epoch, start_step) != self._position:
            self._position = (epoch, start_step)
            self.close()
        num_steps = self.num_steps(epoch)
        for step in range(start_step, num_steps):
            columns = next(self._train_stream, None)
            if columns is None:
                self._train_stream = self._open_train_stream(epoch, step)
                columns = next(self._train_stream)
            self._position = (epoch + 1, 0) if step + 1 == num_steps else (epoch, step + 1)
            yield self._local.train_batch(columns)

    def _open_train_stream(self, epoch: int, start_step: int) -> Iterator[Columns]:
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

    def validation_batches(self) -> Iterator[ValidationBatch]:
        """Yield this rank's validation samples; small sets are decoded once and kept."""
        if self._validation is not None:
            yield from self._validation
            return
        kept: list[ValidationBatch] | None = []
        num_bytes = 0
        for columns in self._read_validation():
            num_bytes += columns["images"].nbytes
            batch = self._local.validation_batch(columns)
            if num_bytes > _CACHED_VALIDATION_BYTES:
                kept = None
            if kept is not None:
                kept.append(batch)
            yield batch
        self._validation = kept

    def _read_validation(self) -> Iterator[Columns]:
        return self._stream([(_VALIDATION, *span) for span in self._local.validation_spans()])

    def _stream(self, spans: list[_Span]) -> Iterator[Columns]:
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
            yield from unpack(cast("pa.Table", block))


def load_spans(
    rows: Columns,
    data: ray.ObjectRef[Loader[Any, Any]],
    spans: ray.ObjectRef[list[_Span]],
    is_polite: bool,
) -> Iterator[pa.Table]:
    """Load the spans whose numbers are in the column `id`: what one Ray Data task does."""
    if is_polite:
        os.setpriority(os.PRIO_PROCESS, 0, _POLITE)
    held: list[_Span] = ray.get(spans)
    for number in rows["id"]:
        epoch, start, stop = held[number]
        if epoch == _VALIDATION:
            yield pack(_loader(data).load_validation(start, stop))
        else:
            yield from map(pack, _task_loader(data, epoch)(start, stop))


@lru_cache(maxsize=1)
def _loader(data: ray.ObjectRef[Loader[Any, Any]]) -> Loader[Any, Any]:
    """Keep what a worker process was handed: of 9 million rows, unpickling takes its time."""
    local: Loader[Any, Any] = ray.get(data)
    return local


@lru_cache(maxsize=2)
def _task_loader(
    data: ray.ObjectRef[Loader[Any, Any]], epoch: int
) -> Callable[[int, int], Iterable[Columns]]:
    return _loader(data).task_loader(epoch)


def pack(columns: Columns) -> pa.Table:
    """Return a table of one row, which Ray Data never cuts, whatever the images' size.

    Rows of several steps in one block would be of several shapes, which Arrow's tensors cannot be.
    """
    packed: dict[str, pa.Array] = {}
    for name, values in columns.items():
        if values.dtype == object:
            packed[name] = pa.array([values.tolist()], pa.list_(pa.string()))
            continue
        values = np.ascontiguousarray(values)
        # By its buffers, without a copy: `pa.array` of a memoryview never frees it (pyarrow 26).
        buffers = [None, pa.py_buffer(np.array([0, values.nbytes])), pa.py_buffer(values)]
        packed[name] = pa.Array.from_buffers(pa.large_binary(), 1, buffers)
        packed[name + _SHAPE] = pa.array([list(values.shape)], pa.list_(pa.int64()))
        packed[name + _DTYPE] = pa.array([values.dtype.str])
    return pa.table(packed)


def unpack(block: pa.Table) -> Iterator[Columns]:
    """Undo `pack` for each row; arrays stay where they are, in shared memory."""
    names = [name for name in block.column_names if not name.endswith((_SHAPE, _DTYPE))]
    for row in range(block.num_rows):
        columns: Columns = {}
        for name in names:
            scalar = block[name][row]
            if name + _SHAPE not in block.column_names:
                columns[name] = np.array(scalar.as_py(), object)
                continue
            shape, dtype = (block[name + kind][row].as_py() for kind in (_SHAPE, _DTYPE))
            columns[name] = np.frombuffer(scalar.as_buffer(), dtype).reshape(shape)
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
