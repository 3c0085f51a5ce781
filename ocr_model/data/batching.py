"""Which samples make up which step, and how large their images are.

Samples are put into *buckets* by the width that their labels want; a step takes samples of one
bucket, the more the narrower it is. Every bucket has an order of its own (`EpochOrder`), and the
steps of all are mixed evenly. Without buckets there is one. Like the order itself, all of this is
a pure function of seed, epoch and position.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int
from pydantic import PositiveFloat, PositiveInt, model_validator

from ocr_model.config import Config
from ocr_model.data.fragments import SubsetIndex
from ocr_model.data.order import EpochOrder, SampleRef
from ocr_model.errors import ConfigError
from ocr_model.image import ImageGeometry

Places = Int[np.ndarray, " steps"]

_PIXELS_PER_CHAR = 20.0


class BatchingConfig(Config):
    """Width buckets, for `image.fit=pad`."""

    widths: tuple[PositiveInt, ...] = ()
    """Widths in pixels, rising; the last is `image.width`. A sample goes into the narrowest that
    its label's length allows, known without opening an image; a picture that is wider all the same
    is squeezed. `training.batch_size` is that of the last; narrower batches have more samples."""
    pixels_per_char: PositiveFloat = _PIXELS_PER_CHAR
    """Width that a character is given, at `image.height`. At 32 pixels the median of IIIT5K's and
    SVT's words is 17.5, of IC15's 13, and a tenth is wider than 25."""

    @model_validator(mode="after")
    def _settings_have_effect(self) -> "BatchingConfig":
        if len(self.widths) == 1 or list(self.widths) != sorted(set(self.widths)):
            raise ValueError(f"widths must be two or more, rising; got {list(self.widths)}")
        if not self.widths and self.pixels_per_char != _PIXELS_PER_CHAR:
            raise ValueError("pixels_per_char has no effect without widths")
        return self


@dataclass(frozen=True)
class Bucket:
    """Samples whose images are brought to one size."""

    index: SubsetIndex
    geometry: ImageGeometry
    batch_size: int
    """Samples per step, of all ranks together."""

    @property
    def num_steps(self) -> int:
        """Whole batches that there are samples for."""
        return self.index.num_rows // self.batch_size


@dataclass(frozen=True)
class StepSamples:
    """What some streams have of one step."""

    references: list[SampleRef]
    geometry: ImageGeometry
    repeat: int = 0
    """How often the epoch has been through its rows before."""


def make_buckets(
    index: SubsetIndex,
    geometry: ImageGeometry,
    batch_size: int,
    num_streams: int,
    batching: BatchingConfig,
    pixels_per_column: int | None,
) -> tuple[Bucket, ...]:
    """Divide the training part by the width that labels want.

    Args:
        index: The training part.
        geometry: Of the widest bucket.
        batch_size: Of the widest bucket, of all ranks together.
        num_streams: What batch sizes are multiples of.
        batching: Names the widths; without any there is one bucket.
        pixels_per_column: Of a CTC model, which needs a bucket whose columns can spell the label.

    Raises:
        ConfigError: A bucket has no samples, or fewer than a batch: they would never be seen.
    """
    if not batching.widths:
        return (Bucket(index, geometry, batch_size),)
    wanted = np.concatenate(index.num_chars) * batching.pixels_per_char
    if pixels_per_column is not None:
        columns = np.concatenate(index.num_columns).astype(np.int64)
        wanted = np.maximum(wanted, (columns - 1) * pixels_per_column + 1)
    places = np.searchsorted(batching.widths[:-1], wanted)
    buckets = []
    for place, width in enumerate(batching.widths):
        size = batch_size * geometry.width // width // num_streams * num_streams
        part = index.where(places == place)
        if part.num_rows < size:
            raise ConfigError(
                f"{part.num_rows} training samples want a width of {width} and do not fill a batch "
                f"of {size}; leave {width} out of batching.widths={list(batching.widths)}, or "
                "change batching.pixels_per_char or training.batch_size"
            )
        buckets.append(Bucket(part, geometry.replace(width=width), size))
    return tuple(buckets)


@dataclass(frozen=True)
class EpochPlan:
    """The steps of one epoch.

    An epoch has as many samples as it has without a curriculum: where one leaves rows out, the
    others come again in a new order.
    """

    buckets: tuple[Bucket, ...]
    seed: int
    epoch: int
    num_streams: int = 1
    shuffle_rows: int = 16_384
    """Samples that are shuffled at a time, of all buckets together."""
    max_chars: int | None = None
    """Leave out longer labels; None: there are none."""

    def __post_init__(self) -> None:
        if len(self.buckets) == 1 and self.max_chars is None:
            self._order(0, 0)  # which says what is wrong
        if not self._round_steps.sum():
            fewest = min(bucket.batch_size for bucket in self.buckets)
            raise ConfigError(
                f"training samples of up to {self.max_chars} characters do not fill one batch of "
                f"{fewest}; raise curriculum.start_chars or lower training.batch_size"
            )

    @cached_property
    def num_steps(self) -> int:
        """Steps of the epoch."""
        sizes = self._batch_sizes
        wanted = sum(bucket.num_steps * bucket.batch_size for bucket in self.buckets)
        rounds, left = divmod(wanted, int(self._round_steps @ sizes))
        last = np.cumsum(sizes[self._mixed(rounds)[0]])
        return rounds * int(self._round_steps.sum()) + int(np.searchsorted(last, left, "right"))

    def bucket(self, step: int) -> Bucket:
        """Return the bucket that a step takes its samples from."""
        repeat, place = divmod(step, int(self._round_steps.sum()))
        return self.buckets[int(self._mixed(repeat)[0][place])]

    def select(self, streams: range, step: int) -> tuple[list[SampleRef], int]:
        """Return what `streams` have of a step, and how often the epoch was through its rows.

        Slots count stream by stream.
        """
        repeat, place = divmod(step, int(self._round_steps.sum()))
        buckets, ordinals = self._mixed(repeat)
        ordinal = int(ordinals[place])
        order = self._order(int(buckets[place]), repeat)
        return order.select(streams, ordinal, ordinal + 1), repeat

    @property
    def _batch_sizes(self) -> Places:
        return np.array([bucket.batch_size for bucket in self.buckets])

    @cached_property
    def _round_steps(self) -> Places:
        """Steps of each bucket until all its rows have been seen once."""
        if self.max_chars is None:
            return np.array([bucket.num_steps for bucket in self.buckets])
        allowed = slice(self.max_chars + 1)
        rows = [int(bucket.index.rows_by_length[allowed].sum()) for bucket in self.buckets]
        steps: Places = np.array(rows) // self._batch_sizes
        return steps

    def _mixed(self, repeat: int) -> tuple[Places, Places]:
        """Return the bucket of each step of a round, and which of that bucket's steps it is.

        Each bucket's steps are spread evenly, so that all of them come to the end of a file at
        about the same time, and the random shifts make the sequence irregular.
        """
        if repeat not in self._mixes:
            if len(self._mixes) > 1:
                self._mixes.clear()
            counts = self._round_steps
            buckets = np.repeat(np.arange(len(counts)), counts)
            ordinals = np.concatenate([np.arange(count) for count in counts])
            rng = np.random.default_rng([self.seed, self.epoch, repeat, 0, 2])
            shifts = rng.random(len(buckets))
            order = np.argsort((ordinals + shifts) / counts[buckets], kind="stable")
            self._mixes[repeat] = buckets[order], ordinals[order]
        return self._mixes[repeat]

    @cached_property
    def _mixes(self) -> dict[int, tuple[Places, Places]]:
        return {}

    def _order(self, place: int, repeat: int) -> EpochOrder:
        key = (place, repeat)
        if key not in self._orders:
            if len(self._orders) >= 2 * len(self.buckets):
                self._orders.clear()
            bucket, num_rows = self.buckets[place], sum(b.index.num_rows for b in self.buckets)
            self._orders[key] = EpochOrder(
                self._allowed[place],
                self.seed,
                self.epoch,
                bucket.batch_size,
                self.num_streams,
                max(1, self.shuffle_rows * bucket.index.num_rows // num_rows),
                repeat,
            )
        return self._orders[key]

    @cached_property
    def _orders(self) -> dict[tuple[int, int], EpochOrder]:
        return {}

    @cached_property
    def _allowed(self) -> list[SubsetIndex]:
        indices = [bucket.index for bucket in self.buckets]
        if self.max_chars is None:
            return indices
        return [index.up_to(self.max_chars) for index in indices]
