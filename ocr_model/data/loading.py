"""From row numbers to batches of pixels and class ids: what a data worker does.

Nothing here imports torch or Ray. The same code runs in Ray Data tasks, in the plain loop, and in
evaluation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from jaxtyping import Int, UInt8

from ocr_model.charset import PAD, Charset, normalize
from ocr_model.data.augment import AugmentConfig, augment
from ocr_model.data.fragments import Sample
from ocr_model.data.index import SubsetIndex, TextConfig
from ocr_model.data.order import EpochOrder, SampleRef, sequential
from ocr_model.data.seeding import generator_of
from ocr_model.data.sources import SourceConfig
from ocr_model.errors import ImageError
from ocr_model.image import ImageGeometry, ModelInput, Pixels, decode_image, fit_image

Columns = dict[str, np.ndarray]
"""A batch as Ray Data carries it; see `Batch` for the columns."""
SampleKey = tuple[int, int, int, int]
"""Seed of the run, epoch, key of the fragment, row."""


@dataclass(frozen=True)
class Batch:
    """Samples ready for the device; unreadable ones are already out and listed."""

    images: UInt8[np.ndarray, "batch height width 3"]
    content_width: Int[np.ndarray, " batch"]
    """Columns that hold picture."""
    class_ids: Int[np.ndarray, "batch chars"]
    """Padded with `<PAD>` to the longest label."""
    num_chars: Int[np.ndarray, " batch"]
    labels: list[str]
    """Normalised."""
    keys: list[str]
    """`uri#part:row` of each sample."""
    errors: dict[str, str]
    """Reasons by key, of the samples that could not be read."""
    unreadable_labels: list[str]
    """Their labels."""

    @classmethod
    def from_columns(cls, columns: Columns) -> "Batch":
        """Take the readable rows."""
        is_readable = columns["error"] == ""
        keys, faults = columns["key"], columns["error"]
        num_chars = columns["num_chars"][is_readable]
        longest = int(num_chars.max()) if len(num_chars) else 0
        bad = np.flatnonzero(~is_readable)
        if not len(bad):  # the usual case: nothing is copied
            return cls(
                columns["images"], columns["content_width"], columns["class_ids"][:, :longest],
                num_chars, list(columns["label"]), list(keys), {}, [],
            )  # fmt: skip
        return cls(
            columns["images"][is_readable],
            columns["content_width"][is_readable],
            columns["class_ids"][is_readable, :longest],
            num_chars,
            list(columns["label"][is_readable]),
            list(keys[is_readable]),
            {str(keys[i]): str(faults[i]) for i in bad},
            list(columns["label"][bad]),
        )


@dataclass(frozen=True)
class SampleLoader:
    """Reads, decodes, augments and encodes; every result depends on its arguments only."""

    source: SourceConfig
    text: TextConfig
    geometry: ImageGeometry
    charset: Charset
    augmentation: AugmentConfig | None
    """None: no distortion, as in validation and use."""
    seed: int = 0

    def load(self, references: list[SampleRef], epoch: int) -> Columns:
        """Return the samples of `references`, each in its slot."""
        size = sum(len(reference.slots) for reference in references)
        height, width = self.geometry.height, self.geometry.width
        columns: Columns = {
            "images": np.zeros((size, height, width, 3), np.uint8),
            "content_width": np.full(size, width, np.int64),
            "class_ids": np.full((size, self.text.max_chars), PAD, np.int64),
            "num_chars": np.zeros(size, np.int64),
            "label": np.full(size, "", object),
            "key": np.full(size, "", object),
            "error": np.full(size, "", object),
        }
        for reference in references:
            fragment = reference.fragment
            samples = self.source.read(fragment, reference.rows, epoch=epoch)
            for sample, row, slot in zip(samples, reference.rows, reference.slots, strict=True):
                columns["key"][slot] = f"{fragment.uri}#{fragment.part}:{row}"
                key = (self.seed, epoch, fragment.key, int(row))
                self._fill(columns, int(slot), sample, key)
        return columns

    def _fill(self, columns: Columns, slot: int, sample: Sample, key: SampleKey) -> None:
        label = normalize(sample.label, self.text.normalization)
        columns["label"][slot] = label
        class_ids = self.charset.encode(label, allow_unknown=True)[: self.text.max_chars]
        columns["class_ids"][slot, : len(class_ids)] = class_ids
        columns["num_chars"][slot] = len(class_ids)
        if sample.image is None:
            columns["error"][slot] = sample.error
            return
        try:
            pixels = decode_image(sample.image)
        except ImageError as error:
            columns["error"][slot] = str(error)
            return
        if self.augmentation is None:
            fitted = fit_image(pixels, self.geometry)
        else:
            fitted = distort(pixels, self.geometry, self.augmentation, key)
        columns["images"][slot], columns["content_width"][slot] = fitted


def distort(
    pixels: Pixels, geometry: ImageGeometry, augmentation: AugmentConfig, key: SampleKey
) -> tuple[ModelInput, int]:
    """Augment as training does: the sample's key is all that decides."""
    return augment(pixels, geometry, augmentation, generator_of(*key))


@dataclass(frozen=True)
class TrainPlan:
    """How the training part is cut into tasks; shared by all ranks and by the plain loop."""

    index: SubsetIndex
    loader: SampleLoader
    batch_size: int
    """Samples of all ranks together."""
    num_streams: int
    shuffle_rows: int
    rows_per_task: int

    def order(self, epoch: int) -> EpochOrder:
        """Return the order of one epoch."""
        return EpochOrder(
            self.index,
            self.loader.seed,
            epoch,
            self.batch_size,
            self.num_streams,
            self.shuffle_rows,
        )

    def rank_streams(self, rank: int, world_size: int) -> range:
        """Return the streams that a rank reads; the world size divides their number."""
        per_rank = self.num_streams // world_size
        return range(rank * per_rank, (rank + 1) * per_rank)

    def task_steps(self, world_size: int) -> int:
        """Return the number of steps that one task loads."""
        return max(1, self.rows_per_task * world_size // self.batch_size)

    def load_task(self, epoch: int, start: int, stop: int, rank: int, world_size: int) -> Columns:
        """Load a rank's share of steps `start..stop`."""
        streams = self.rank_streams(rank, world_size)
        return self.loader.load(self.order(epoch).select(streams, start, stop), epoch)


@dataclass(frozen=True)
class LocalData:
    """Loads everything in the calling process: the plain loop, without Ray."""

    train_plan: TrainPlan
    validation_index: SubsetIndex
    validation_loader: SampleLoader
    rank: int = 0
    world_size: int = 1

    @property
    def num_steps(self) -> int:
        """Steps per epoch."""
        return self.train_plan.order(0).num_steps

    @property
    def fingerprint(self) -> int:
        """A number that changes when other rows make up the training part."""
        index, digest = self.train_plan.index, 0
        for fragment, rows in zip(index.fragments, index.rows, strict=True):
            digest = crc32(rows.astype("<i8").tobytes(), crc32(str(fragment.key).encode(), digest))
        return digest

    def train_batches(self, epoch: int, start_step: int) -> Iterator[Batch]:
        """Yield this rank's part of each global batch from `start_step` on."""
        per_task = self.train_plan.task_steps(self.world_size)
        rank_batch = self.train_plan.batch_size // self.world_size
        for start in range(start_step, self.num_steps, per_task):
            stop = min(start + per_task, self.num_steps)
            columns = self.train_plan.load_task(epoch, start, stop, self.rank, self.world_size)
            yield from slice_batches(columns, rank_batch)

    def validation_batches(self) -> Iterator[Batch]:
        """Yield this rank's part of the validation samples; all ranks together give each once."""
        size = self.train_plan.batch_size // self.world_size
        for start in range(
            self.rank * size, self.validation_index.num_rows, size * self.world_size
        ):
            references = sequential(self.validation_index, start, start + size)
            yield Batch.from_columns(self.validation_loader.load(references, epoch=0))


def slice_batches(columns: Columns, batch_size: int) -> Iterator[Batch]:
    """Cut columns into batches."""
    for start in range(0, len(columns["error"]), batch_size):
        part = {name: values[start : start + batch_size] for name, values in columns.items()}
        yield Batch.from_columns(part)
