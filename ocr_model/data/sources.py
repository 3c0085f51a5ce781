"""Named datasets: where word images and their labels come from.

A source lists *fragments*: pieces that one task reads at once, such as a row group of a Parquet
file. Everything downstream (splitting, shuffling, sharding, resuming) is arithmetic on fragments
and row numbers, so it is the same for every source. Nothing here imports torch or Ray.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from ocr_model.config import Config
from ocr_model.data import folders, hub_datasets, parquet
from ocr_model.data.fragments import Fragment, Rows, Sample
from ocr_model.data.synthetic import words
from ocr_model.data.synthetic.renderer import RendererConfig, WordRenderer
from ocr_model.errors import ConfigError

Subset = Literal["train", "validation"]

_ROWS_PER_FRAGMENT = 1000


class SourceConfig(Config, ABC):
    """What every source has."""

    limit: PositiveInt | None = None
    """Use at most this many training samples (whole fragments in random order, then random rows);
    jobs/evaluate.py limits what it reads by the same setting."""
    validation_limit: PositiveInt | None = 10_000
    """Use at most this many validation samples."""
    validation_fraction: NonNegativeFloat = Field(0.0, lt=1)
    """Share of the rows set apart for validation, chosen by a hash of file name and row number:
    the same rows on every machine. For sources without a validation part of their own."""
    seed: NonNegativeInt = 0
    """Decides which rows `limit` keeps (and what `synthetic` draws)."""

    @property
    def alphabet(self) -> str:
        """Characters that labels may have beyond those of the first epoch's."""
        return ""

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


class ParquetSource(SourceConfig):
    """Parquet files with encoded images and labels: the Hub's schema or plain binary columns."""

    source: Literal["parquet"]
    path: str | list[str]
    """Files, folders or bucket prefixes (s3://, gs://, hf://...)."""
    validation_path: str | list[str] | None = None
    """Files of the validation part, where it has its own."""
    image_column: str = "image"
    """`struct<bytes, path>` (the Hub's image type) or binary."""
    label_column: str = "label"

    def fragments(self, subset: Subset) -> list[Fragment]:
        """List row groups."""
        columns = (self.image_column, self.label_column)
        if subset == "train":
            return parquet.list_row_groups(_as_list(self.path), columns)
        if self.validation_path is None:
            return []
        if self.validation_fraction:
            raise ConfigError(
                "data.validation_path and data.validation_fraction exclude each other"
            )
        return parquet.list_row_groups(_as_list(self.validation_path), columns)

    def labels(self, fragment: Fragment) -> Sequence[str | None]:
        """Read the label column only."""
        return parquet.read_labels(fragment, self.label_column)

    def read(self, fragment: Fragment, rows: Rows, *, epoch: int) -> list[Sample]:
        """Read one row group and pick rows."""
        return parquet.read_rows(fragment, rows, self.image_column, self.label_column)


class MJSynthSource(SourceConfig):
    """MJSynth's 9 million rendered words (arXiv:1406.2227) as `priyank-m` put them on the Hub."""

    source: Literal["mjsynth"]
    path: str = "hf://datasets/priyank-m/MJSynth_text_recognition"
    """The Hub's dataset, or a mirror of its files in a folder or a bucket."""

    def fragments(self, subset: Subset) -> list[Fragment]:
        """List the row groups of the files that are named after the subset."""
        if self.validation_fraction:
            raise ConfigError(
                "mjsynth has a validation part; data.validation_fraction is for others"
            )
        return parquet.list_row_groups(
            [self.path], ("image", "label"), name_prefix="train" if subset == "train" else "val"
        )

    def labels(self, fragment: Fragment) -> Sequence[str | None]:
        """Read the label column only."""
        return parquet.read_labels(fragment, "label")

    def read(self, fragment: Fragment, rows: Rows, *, epoch: int) -> list[Sample]:
        """Read one row group and pick rows."""
        return parquet.read_rows(fragment, rows, "image", "label")


class HuggingFaceSource(SourceConfig):
    """Any image and label dataset of the Hub, through `datasets`."""

    source: Literal["huggingface"]
    path: str
    """Name on the Hub, or a local folder that `datasets` understands."""
    subset: str | None = None
    """The dataset's configuration, where it has several."""
    train_split: str = "train"
    validation_split: str | None = None
    image_column: str = "image"
    label_column: str = "label"

    def fragments(self, subset: Subset) -> list[Fragment]:
        """List runs of rows of the split."""
        split = self.train_split if subset == "train" else self.validation_split
        if split is None:
            return []
        num_rows = hub_datasets.count_rows(self.path, self.subset, split)
        return _runs(f"{self.path}@{split}", num_rows)

    def labels(self, fragment: Fragment) -> Sequence[str | None]:
        """Read the label column only."""
        return hub_datasets.read_labels(
            self.path, self.subset, _split_of(fragment), self.label_column, _run_rows(fragment)
        )

    def read(self, fragment: Fragment, rows: Rows, *, epoch: int) -> list[Sample]:
        """Read encoded images; `datasets` keeps them memory-mapped on this node."""
        return hub_datasets.read_rows(
            self.path,
            self.subset,
            _split_of(fragment),
            (self.image_column, self.label_column),
            rows + fragment.part * _ROWS_PER_FRAGMENT,
        )


class FolderSource(SourceConfig):
    """Image files on a disk that all nodes see, with labels in JSON, CSV or the file names.

    Labels are looked for in this order: `train/train.json`, `train/train.csv`, `train.json`,
    `train.csv`, `labels.json`, `labels.csv`, file names. Images are sought beside the list and
    in `images/` beside it. The validation part is `val/val.json` and so on.
    """

    source: Literal["folder"]
    path: str
    stem_pattern: str = "(?P<label>.+)"
    r"""Regular expression for labels in file names without their ending; MJSynth's own files want
    `\d+_(?P<label>.+)_\d+`."""

    def fragments(self, subset: Subset) -> list[Fragment]:
        """List runs of files."""
        listing = folders.list_images(self.path, subset, self.stem_pattern)
        return _runs(f"{self.path}@{subset}", len(listing))

    def labels(self, fragment: Fragment) -> Sequence[str | None]:
        """Return labels of the listing."""
        return [label for _, label in self._listing(fragment)]

    def read(self, fragment: Fragment, rows: Rows, *, epoch: int) -> list[Sample]:
        """Read files; one that cannot be read gives a sample without image."""
        listing = self._listing(fragment)
        return [folders.read_sample(*listing[row]) for row in rows]

    def _listing(self, fragment: Fragment) -> Sequence[tuple[str, str | None]]:
        subset: Subset = "train" if _split_of(fragment) == "train" else "validation"
        listing = folders.list_images(self.path, subset, self.stem_pattern)
        rows = _run_rows(fragment)
        return listing[rows[0] : rows[-1] + 1]


class SyntheticSource(SourceConfig):
    """Rendered words, made while training and never stored; every epoch has new ones.

    Validation words are of a part of the lexicon that training never draws from.
    """

    source: Literal["synthetic"] = "synthetic"
    num_words: PositiveInt = 20_000
    """Words per epoch."""
    num_validation_words: PositiveInt = 1_000
    language: str = "en"
    """Language of the lexicon, as wordfreq names it."""
    renderer: RendererConfig = RendererConfig()

    @property
    def alphabet(self) -> str:
        """ASCII letters and digits: later epochs draw other words."""
        return words.ALPHABET

    def fragments(self, subset: Subset) -> list[Fragment]:
        """List runs of sample numbers."""
        if self.validation_fraction:
            raise ConfigError(
                "synthetic has validation words of its own; data.validation_fraction is for others"
            )
        count = self.num_words if subset == "train" else self.num_validation_words
        return _runs(f"synthetic@{subset}", count)

    def labels(self, fragment: Fragment) -> Sequence[str | None]:
        """Return the words of the first epoch."""
        return [self._word(fragment, row, 0) for row in range(fragment.num_rows)]

    def read(self, fragment: Fragment, rows: Rows, *, epoch: int) -> list[Sample]:
        """Render."""
        renderer = WordRenderer(self.renderer)
        samples = []
        for row in rows:
            word = self._word(fragment, int(row), epoch)
            rng = np.random.default_rng([*self._sample_seed(fragment, int(row), epoch), 1])
            samples.append(Sample(renderer.render(word, rng), word))
        return samples

    def _word(self, fragment: Fragment, row: int, epoch: int) -> str:
        """Draw a word as long as the row's in the first epoch, by which batches are made up."""
        is_validation = _split_of(fragment) == "validation"
        if epoch and not is_validation:
            num_chars = len(self._word(fragment, row, 0))
            rng = np.random.default_rng(self._sample_seed(fragment, row, epoch))
            while True:
                word = words.draw_word(rng, self.language, is_validation=False)
                if len(word) == num_chars:
                    return word
        rng = np.random.default_rng(self._sample_seed(fragment, row, 0))
        return words.draw_word(rng, self.language, is_validation=is_validation)

    def _sample_seed(self, fragment: Fragment, row: int, epoch: int) -> list[int]:
        is_validation = _split_of(fragment) == "validation"
        number = fragment.part * _ROWS_PER_FRAGMENT + row
        return [self.seed, int(is_validation), 0 if is_validation else epoch, number]


DataConfig = Annotated[
    SyntheticSource | MJSynthSource | ParquetSource | HuggingFaceSource | FolderSource,
    Field(discriminator="source"),
]


def _as_list(path: str | list[str]) -> list[str]:
    return [path] if isinstance(path, str) else path


def _runs(uri: str, num_rows: int) -> list[Fragment]:
    starts = range(0, num_rows, _ROWS_PER_FRAGMENT)
    return [
        Fragment(uri, part, min(_ROWS_PER_FRAGMENT, num_rows - start))
        for part, start in enumerate(starts)
    ]


def _run_rows(fragment: Fragment) -> range:
    start = fragment.part * _ROWS_PER_FRAGMENT
    return range(start, start + fragment.num_rows)


def _split_of(fragment: Fragment) -> str:
    return fragment.uri.rpartition("@")[2]
