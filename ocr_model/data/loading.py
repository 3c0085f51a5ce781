"""From row numbers to batches of pixels and class ids: what a data worker does.

Nothing here imports torch or Ray. The same code runs in Ray Data tasks, in the plain loop, and in
evaluation.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
from jaxtyping import Int, UInt8

from ocr_model.charset import PAD, Charset, normalize
from ocr_model.data.augment import AugmentConfig, augment
from ocr_model.data.batching import Bucket, EpochPlan, StepSamples
from ocr_model.data.curriculum import AllAtOnce, Curriculum
from ocr_model.data.fragments import Fragment, Sample, SubsetIndex
from ocr_model.data.labels import TextConfig
from ocr_model.data.order import SampleRef, sequential
from ocr_model.data.scales import OneSize, ScaleSchedule
from ocr_model.data.seeding import generator_of
from ocr_model.data.source_config import SourceConfig
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

    @property
    def num_planned(self) -> int:
        """Samples that the step was to have on this rank, the unreadable ones too."""
        return len(self.labels) + len(self.unreadable_labels)

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
        (columns,) = self.load_steps([StepSamples(references, self.geometry)], epoch)
        return columns

    def load_steps(
        self, steps: Sequence[StepSamples], epoch: int, *, strength: float = 1.0
    ) -> list[Columns]:
        """Return the samples of each step; what they share of a fragment is read once.

        `strength` is the share of the full strength of all distortions.
        """
        source, augmentation = self.source, self.augmentation
        if strength < 1:
            source = source.eased(strength)
            augmentation = None if augmentation is None else augmentation.eased(strength)
        loaded = [self._empty_columns(step) for step in steps]
        wanted: dict[Fragment, list[tuple[int, SampleRef]]] = {}
        for number, step in enumerate(steps):
            for reference in step.references:
                wanted.setdefault(reference.fragment, []).append((number, reference))
        for fragment, parts in wanted.items():
            rows = np.concatenate([reference.rows for _, reference in parts])
            samples = iter(source.read(fragment, rows, epoch=epoch))
            place, fragment_key = f"{fragment.uri}#{fragment.part}", fragment.key
            for number, reference in parts:
                step, columns = steps[number], loaded[number]
                for row, slot in zip(reference.rows, reference.slots, strict=True):
                    columns["key"][slot] = f"{place}:{row}"
                    key = (self.seed, epoch + (step.repeat << 32), fragment_key, int(row))
                    self._fill(columns, int(slot), next(samples), step, augmentation, key)
        return loaded

    def _empty_columns(self, step: StepSamples) -> Columns:
        size = sum(len(reference.slots) for reference in step.references)
        height, width = step.geometry.height, step.geometry.width
        return {
            "images": np.zeros((size, height, width, 3), np.uint8),
            "content_width": np.full(size, width, np.int64),
            "class_ids": np.full((size, self.text.max_chars), PAD, np.int64),
            "num_chars": np.zeros(size, np.int64),
            "label": np.full(size, "", object),
            "key": np.full(size, "", object),
            "error": np.full(size, "", object),
        }

    def _fill(
        self,
        columns: Columns,
        slot: int,
        sample: Sample,
        step: StepSamples,
        augmentation: AugmentConfig | None,
        key: SampleKey,
    ) -> None:
        label = normalize(sample.label or "", self.text.normalization)
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
        if augmentation is None:
            fitted = fit_image(pixels, step.geometry)
        else:
            fitted = distort(pixels, step.geometry, augmentation, key)
        columns["images"][slot], columns["content_width"][slot] = fitted


def distort(
    pixels: Pixels, geometry: ImageGeometry, augmentation: AugmentConfig, key: SampleKey
) -> tuple[ModelInput, int]:
    """Augment as training does: the sample's key is all that decides."""
    return augment(pixels, geometry, augmentation, generator_of(*key))


@dataclass(frozen=True)
class TrainPlan:
    """How the training part is cut into steps and tasks; shared by all ranks."""

    buckets: tuple[Bucket, ...]
    loader: SampleLoader
    num_streams: int
    shuffle_rows: int
    rows_per_task: int
    num_epochs: int = 1
    """What the schedules go by."""
    curriculum: Curriculum = field(default_factory=AllAtOnce)
    scales: ScaleSchedule = field(default_factory=OneSize)

    @property
    def batch_size(self) -> int:
        """Samples of all ranks together, of the widest bucket."""
        return self.buckets[-1].batch_size

    def epoch(self, epoch: int) -> EpochPlan:
        """Return the steps of one epoch."""
        longest = self.loader.text.max_chars
        allowed = self.curriculum.longest(epoch, self.num_epochs, longest)
        return EpochPlan(
            self.buckets,
            self.loader.seed,
            epoch,
            self.num_streams,
            self.shuffle_rows,
            None if allowed >= longest else allowed,
        )

    def rank_streams(self, rank: int, world_size: int) -> range:
        """Return the streams that a rank reads; the world size divides their number."""
        per_rank = self.num_streams // world_size
        return range(rank * per_rank, (rank + 1) * per_rank)

    def task_steps(self, world_size: int) -> int:
        """Return the number of steps that one task loads."""
        return max(1, self.rows_per_task * world_size // self.batch_size)

    def load_task(
        self, plan: EpochPlan, start: int, stop: int, rank: int, world_size: int
    ) -> list[Columns]:
        """Load a rank's share of each of the steps `start..stop` of an epoch."""
        streams = self.rank_streams(rank, world_size)
        strength = self.curriculum.strength(plan.epoch, self.num_epochs)
        steps = []
        for step in range(start, stop):
            references, repeat = plan.select(streams, step)
            geometry = plan.bucket(step).geometry
            size = self.scales.size(plan.seed, plan.epoch, step, self.num_epochs)
            if size is not None:
                geometry = geometry.replace(height=size[0], width=size[1])
            steps.append(StepSamples(references, geometry, repeat))
        return self.loader.load_steps(steps, plan.epoch, strength=strength)


@dataclass(frozen=True)
class LocalData:
    """Loads everything in the calling process: the plain loop, without Ray."""

    train_plan: TrainPlan
    validation_index: SubsetIndex
    validation_loader: SampleLoader
    rank: int = 0
    world_size: int = 1

    def num_steps(self, epoch: int) -> int:
        """Return the number of steps of an epoch."""
        return self.train_plan.epoch(epoch).num_steps

    @property
    def fingerprint(self) -> int:
        """A number that changes when other rows make up the training part."""
        digest = 0
        for bucket in self.train_plan.buckets:
            for fragment, rows in zip(bucket.index.fragments, bucket.index.rows, strict=True):
                digest = crc32(str(fragment.key).encode(), digest)
                digest = crc32(rows.astype("<i8").tobytes(), digest)
        return digest

    def train_batches(self, epoch: int, start_step: int) -> Iterator[Batch]:
        """Yield this rank's part of each global batch from `start_step` on."""
        load = self.task_loader(epoch)
        for start, stop in self.task_spans(epoch, start_step):
            yield from map(self.train_batch, load(start, stop))

    def task_loader(self, epoch: int) -> Callable[[int, int], list[Columns]]:
        """Return what loads the steps from a first to a last of an epoch; worth keeping."""
        plan, load = self.train_plan.epoch(epoch), self.train_plan.load_task
        return lambda start, stop: load(plan, start, stop, self.rank, self.world_size)

    @staticmethod
    def train_batch(columns: Columns) -> Batch:
        """Take the readable samples of a step."""
        return Batch.from_columns(columns)

    @staticmethod
    def validation_batch(columns: Columns) -> Batch:
        """Take the readable samples of a part of the validation samples."""
        return Batch.from_columns(columns)

    def task_spans(self, epoch: int, start_step: int) -> list[tuple[int, int]]:
        """Return first and last step of each task of an epoch from `start_step` on."""
        num_steps, per_task = self.num_steps(epoch), self.train_plan.task_steps(self.world_size)
        starts = range(start_step, num_steps, per_task)
        return [(start, min(start + per_task, num_steps)) for start in starts]

    def validation_spans(self) -> list[tuple[int, int]]:
        """Return first and last sample of each of this rank's validation batches."""
        size = self.train_plan.batch_size // self.world_size
        num_rows = self.validation_index.num_rows
        starts = range(self.rank * size, num_rows, self.world_size * size)
        return [(start, min(start + size, num_rows)) for start in starts]

    def load_validation(self, start: int, stop: int) -> Columns:
        """Load samples of the validation part."""
        return self.validation_loader.load(sequential(self.validation_index, start, stop), epoch=0)

    def validation_batches(self) -> Iterator[Batch]:
        """Yield this rank's part of the validation samples; all ranks together give each once."""
        for start, stop in self.validation_spans():
            yield self.validation_batch(self.load_validation(start, stop))
