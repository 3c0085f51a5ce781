"""Named datasets: where word images and their labels come from."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ocr_model.data import folders, parquet
from ocr_model.data.fragments import Fragment, Rows, Sample
from ocr_model.data.page_words import PageWordsSource
from ocr_model.data.source_config import (
    ROWS_PER_FRAGMENT,
    SourceConfig,
    Subset,
    run_rows,
    runs,
    split_of,
)
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.errors import ConfigError


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

    @model_validator(mode="after")
    def _has_one_validation_part(self) -> "ParquetSource":
        if self.validation_path is not None and self.validation_fraction:
            raise ValueError("validation_path and validation_fraction exclude each other")
        return self

    def fragments(self, subset: Subset) -> list[Fragment]:
        """List row groups."""
        columns = (self.image_column, self.label_column)
        if subset == "train":
            return parquet.list_row_groups(_as_list(self.path), columns)
        if self.validation_path is None:
            return []
        return parquet.list_row_groups(_as_list(self.validation_path), columns)

    def labels(self, fragment: Fragment) -> Sequence[str | None]:
        """Read the label column only."""
        return parquet.read_labels(fragment, self.label_column)

    def read(self, fragment: Fragment, rows: Rows, *, epoch: int) -> list[Sample]:
        """Read one row group and pick rows."""
        return parquet.read_rows(fragment, rows, self.image_column, self.label_column)

    def read_in_full(self, fragment: Fragment, rows: Rows) -> list[Sample]:
        """Read rows with their `char_quads`, where the file has this column."""
        return parquet.add_quads(fragment, rows, self.read(fragment, rows, epoch=0))


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

    def read_in_full(self, fragment: Fragment, rows: Rows) -> list[Sample]:
        """Read rows with their `char_quads`, where a mirror has this column."""
        return parquet.add_quads(fragment, rows, self.read(fragment, rows, epoch=0))


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
        from ocr_model.data import hub_datasets  # noqa: PLC0415  # takes seconds

        split = self.train_split if subset == "train" else self.validation_split
        if split is None:
            return []
        num_rows = hub_datasets.count_rows(self.path, self.subset, split)
        return runs(f"{self.path}@{split}", num_rows)

    def labels(self, fragment: Fragment) -> Sequence[str | None]:
        """Read the label column only."""
        from ocr_model.data import hub_datasets  # noqa: PLC0415  # takes seconds

        return hub_datasets.read_labels(
            self.path, self.subset, split_of(fragment), self.label_column, run_rows(fragment)
        )

    def read(self, fragment: Fragment, rows: Rows, *, epoch: int) -> list[Sample]:
        """Read encoded images; `datasets` keeps them memory-mapped on this node."""
        from ocr_model.data import hub_datasets  # noqa: PLC0415  # takes seconds

        return hub_datasets.read_rows(
            self.path,
            self.subset,
            split_of(fragment),
            (self.image_column, self.label_column),
            rows + fragment.part * ROWS_PER_FRAGMENT,
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
        return runs(f"{self.path}@{subset}", len(listing))

    def labels(self, fragment: Fragment) -> Sequence[str | None]:
        """Return labels of the listing."""
        return [label for _, label in self._listing(fragment)]

    def read(self, fragment: Fragment, rows: Rows, *, epoch: int) -> list[Sample]:
        """Read files; one that cannot be read gives a sample without image."""
        listing = self._listing(fragment)
        return [folders.read_sample(*listing[row]) for row in rows]

    def _listing(self, fragment: Fragment) -> Sequence[tuple[str, str | None]]:
        subset: Subset = "train" if split_of(fragment) == "train" else "validation"
        listing = folders.list_images(self.path, subset, self.stem_pattern)
        rows = run_rows(fragment)
        return listing[rows[0] : rows[-1] + 1]


_OneSource = Annotated[
    SyntheticSource
    | MJSynthSource
    | ParquetSource
    | HuggingFaceSource
    | FolderSource
    | PageWordsSource,
    Field(discriminator="source"),
]


class MixtureSource(SourceConfig):
    """Several sources as one, such as rendered words and a few real ones many times over.

    The parts' `repeats` (and `num_words` of rendered ones) say how much of each an epoch has.
    Validated on are the rows that parts set apart by their `validation_fraction`; where none does,
    the validation parts of those that have one.
    """

    source: Literal["mixture"]
    parts: Annotated[tuple[_OneSource, ...], Field(min_length=2)]
    """A list of other kinds of `data`, each with its `source` and its settings."""

    @model_validator(mode="after")
    def _settings_have_effect(self) -> "MixtureSource":
        if self.validation_fraction or self.repeats > 1:
            raise ValueError("of a mixture, validation_fraction and repeats are settings of parts")
        fields = SourceConfig.model_fields
        for part in self.parts:
            for name in ("limit", "validation_limit"):
                if getattr(part, name) != fields[name].default:
                    raise ValueError(f"{name} is a setting of the whole mixture, not of its parts")
            own = getattr(part, "validation_path", None) or getattr(part, "validation_split", None)
            if own is not None and self.sets_rows_apart:
                raise ValueError(
                    f"another part sets rows apart by validation_fraction: validation on {own} has "
                    "no effect"
                )
        return self

    def given(self) -> dict[str, object]:
        """Return the kinds and what was set, of each part too."""
        return super().given() | {"parts": [part.given() for part in self.parts]}

    @property
    def alphabet(self) -> str:
        """Characters that any part may draw."""
        return "".join(part.alphabet for part in self.parts)

    @property
    def longest_drawn(self) -> int:
        """The longest of any part's."""
        return max(part.longest_drawn for part in self.parts)

    @property
    def sets_rows_apart(self) -> bool:
        """Whether any part does."""
        return any(part.sets_rows_apart for part in self.parts)

    def held_out_share(self, fragment: Fragment) -> float:
        """Ask the fragment's part."""
        part, own = self._part_of(fragment)
        return part.held_out_share(own)

    def times_seen(self, fragment: Fragment) -> int:
        """Ask the fragment's part."""
        part, own = self._part_of(fragment)
        return part.times_seen(own)

    def fragments(self, subset: Subset) -> list[Fragment]:
        """List the fragments of all parts, each under the number of its part."""
        if subset == "validation" and self.sets_rows_apart:
            return []
        return [
            replace(fragment, uri=f"{number}/{fragment.uri}")
            for number, part in enumerate(self.parts)
            for fragment in part.fragments(subset)
        ]

    def labels(self, fragment: Fragment) -> Sequence[str | None]:
        """Ask the fragment's part."""
        part, own = self._part_of(fragment)
        return part.labels(own)

    def read(self, fragment: Fragment, rows: Rows, *, epoch: int) -> list[Sample]:
        """Ask the fragment's part."""
        part, own = self._part_of(fragment)
        return part.read(own, rows, epoch=epoch)

    def read_in_full(self, fragment: Fragment, rows: Rows) -> list[Sample]:
        """Ask the fragment's part."""
        part, own = self._part_of(fragment)
        return part.read_in_full(own, rows)

    def eased(self, share: float) -> "MixtureSource":
        """Ease every part."""
        return self.replace(parts=[part.eased(share).model_dump() for part in self.parts])

    def _part_of(self, fragment: Fragment) -> tuple[SourceConfig, Fragment]:
        number, _, uri = fragment.uri.partition("/")
        return self.parts[int(number)], replace(fragment, uri=uri)


DataConfig = Annotated[
    SyntheticSource
    | MJSynthSource
    | ParquetSource
    | HuggingFaceSource
    | FolderSource
    | PageWordsSource
    | MixtureSource,
    Field(discriminator="source"),
]


def _as_list(path: str | list[str]) -> list[str]:
    return [path] if isinstance(path, str) else path
