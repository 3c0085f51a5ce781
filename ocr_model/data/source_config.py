"""What every dataset offers: fragments, labels, samples.

A source lists *fragments*: pieces that one task reads at once, such as a row group of a Parquet
file. Everything downstream (splitting, shuffling, sharding, resuming) is arithmetic on fragments
and row numbers, so it is the same for every source. Nothing here imports torch or Ray.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from ocr_model.config import Config
from ocr_model.data.fragments import Fragment, Rows, Sample

Subset = Literal["train", "validation"]

ROWS_PER_FRAGMENT = 1000


class SourceConfig(Config, ABC):
    """What every source has."""

    limit: PositiveInt | None = None
    """Use at most this many training samples (whole fragments in random order, then random rows).
    Validation does not change by it. jobs/evaluate.py limits what it reads by the same setting."""
    validation_limit: PositiveInt | None = 10_000
    """Use at most this many validation samples; jobs/evaluate.py with subset=validation too."""
    validation_fraction: NonNegativeFloat = Field(0.0, lt=1)
    """Share of the rows set apart for validation, chosen by a hash of file name, row group and row
    number: the same rows on every machine, others where a file is renamed. For sources without a
    validation part of their own."""
    repeats: PositiveInt = 1
    """How often an epoch has each training row, distorted anew: how heavy a part of a `mixture`
    is."""
    seed: NonNegativeInt = 0
    """Decides which rows `limit` keeps (and what `synthetic` draws)."""

    def given(self) -> dict[str, object]:
        """Return the kind and what was set, as YAML has it."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        return {"source": self.model_dump(include={"source"})["source"], **values}

    @property
    def alphabet(self) -> str:
        """Characters that labels may have beyond those of the first epoch's."""
        return ""

    @property
    def longest_drawn(self) -> int:
        """Characters of the longest text that the source draws itself; 0 where all are given."""
        return 0

    @property
    def sets_rows_apart(self) -> bool:
        """Whether validation reads rows of the training part."""
        return self.validation_fraction > 0

    def held_out_share(self, fragment: Fragment) -> float:
        """Return the share of a fragment's rows that is set apart for validation."""
        return self.validation_fraction

    def times_seen(self, fragment: Fragment) -> int:
        """Return how often an epoch has a fragment's rows."""
        return self.repeats

    @abstractmethod
    def fragments(self, subset: Subset) -> list[Fragment]:
        """List the pieces of a subset; a validation part that is not there gives an empty list.

        Raises:
            DatasetError: The data is missing or unreadable.
        """

    @abstractmethod
    def labels(self, fragment: Fragment) -> Sequence[str | None]:
        """Return the raw labels of a fragment, one per row; None where there is none."""

    @abstractmethod
    def read(self, fragment: Fragment, rows: Rows, *, epoch: int) -> list[Sample]:
        """Return the samples at `rows`, in that order.

        Only generated data varies by `epoch`, and its labels keep their lengths, by which batches
        are made up.
        """

    def eased(self, share: float) -> "SourceConfig":
        """Return this source with a share of the difficulty that it gives its pictures itself."""
        return self

    def read_in_full(self, fragment: Fragment, rows: Rows) -> list[Sample]:
        """Return the samples of the first epoch with all that is known of them.

        Training needs no places of characters, so a source that stores them gives them here only.
        """
        return self.read(fragment, rows, epoch=0)


def runs(uri: str, num_rows: int) -> list[Fragment]:
    """List fragments of `ROWS_PER_FRAGMENT` rows, for sources without pieces of their own."""
    starts = range(0, num_rows, ROWS_PER_FRAGMENT)
    return [
        Fragment(uri, part, min(ROWS_PER_FRAGMENT, num_rows - start))
        for part, start in enumerate(starts)
    ]


def run_rows(fragment: Fragment) -> range:
    """Return the rows of the whole dataset that such a fragment holds."""
    start = fragment.part * ROWS_PER_FRAGMENT
    return range(start, start + fragment.num_rows)


def split_of(fragment: Fragment) -> str:
    """Return what stands behind the `@` of a fragment's uri."""
    return fragment.uri.rpartition("@")[2]
