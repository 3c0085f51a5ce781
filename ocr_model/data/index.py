"""Which rows of a dataset are used: filtering by label, splitting, limiting, counting."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Bool
from pydantic import PositiveInt

from ocr_model.charset import Charset, Normalization, normalize
from ocr_model.config import Config
from ocr_model.data.fragments import Fragment, Rows
from ocr_model.data.source_config import SourceConfig, Subset
from ocr_model.errors import ConfigError, DatasetError

ParallelMap = Callable[
    [Callable[[Fragment], "FragmentScan"], list[Fragment]], Iterable["FragmentScan"]
]
"""Like the built-in `map`; results in order."""


_TWO_VALIDATION_PARTS = (
    "this dataset has a validation part of its own; data.validation_fraction would shrink both "
    "parts"
)


class TextConfig(Config):
    """How labels are read."""

    normalization: Normalization = Normalization.ALPHANUMERIC
    """alphanumeric (ASCII letters and digits), printable (95 of ASCII), or unicode."""
    max_chars: PositiveInt = 25
    """Training samples with longer labels are dropped, and counted."""


@dataclass(frozen=True)
class SubsetIndex:
    """The rows of one subset that are used."""

    fragments: tuple[Fragment, ...]
    rows: tuple[Rows, ...]
    """One ascending array per fragment."""

    @property
    def num_rows(self) -> int:
        """Rows of all fragments together."""
        return sum(len(rows) for rows in self.rows)


@dataclass
class SubsetReport:
    """What became of the rows of a subset, judged by their labels."""

    num_seen: int = 0
    num_kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows by reason."""
    characters: Counter[str] = field(default_factory=Counter)
    """Occurrences in the normalised labels that are kept."""
    lengths: Counter[int] = field(default_factory=Counter)
    """Kept labels by number of characters."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values, keys sorted."""
        return {
            "seen": self.num_seen,
            "kept": self.num_kept,
            "dropped": dict(sorted(self.dropped.items())),
            "characters": dict(sorted(self.characters.items())),
            "lengths": {str(length): n for length, n in sorted(self.lengths.items())},
        }


@dataclass(frozen=True)
class DatasetIndex:
    """Both subsets, the vocabulary of the first, and the account of what was dropped."""

    train: SubsetIndex
    validation: SubsetIndex
    charset: Charset
    reports: dict[Subset, SubsetReport]


@dataclass(frozen=True)
class FragmentScan:
    """Labels of one fragment, judged."""

    fragment: Fragment
    rows: Rows
    labels: tuple[str, ...]
    """Normalised, one per kept row."""
    dropped: Counter[str]
    is_validation: Bool[np.ndarray, " rows"]
    """True where `validation_fraction` sets the row apart."""


def index_dataset(
    source: SourceConfig,
    text: TextConfig,
    *,
    num_columns: int | None = None,
    parallel_map: ParallelMap = map,
) -> DatasetIndex:
    """Read all labels once and decide which rows are trained and validated on.

    Args:
        source: The dataset.
        text: How labels are normalised, and how long they may be.
        num_columns: Columns of a CTC model, which must spell every training label.
        parallel_map: Runs the scan of fragments, the one slow part, on threads or a cluster.

    Raises:
        DatasetError: A subset is missing or empty, or every label was dropped.
    """
    scan = partial(scan_fragment, text=text, num_columns=num_columns, source=source, keep_all=False)
    fragments = _enough(source.fragments("train"), source.limit, source.seed)
    scans = list(parallel_map(scan, fragments))
    reports: dict[Subset, SubsetReport] = {}
    train, reports["train"] = _collect(scans, source, source.limit, wants_validation=False)
    own = source.fragments("validation")
    if own and source.validation_fraction:
        raise ConfigError(_TWO_VALIDATION_PARTS)
    if own:
        scan = partial(
            scan_fragment, text=text, num_columns=num_columns, source=source, keep_all=True
        )
        scans = list(parallel_map(scan, _enough(own, source.validation_limit, source.seed)))
    elif not source.validation_fraction:
        raise DatasetError(
            "this dataset has no validation part: set one, or data.validation_fraction=0.1 to set "
            "rows apart"
        )
    validation, reports["validation"] = _collect(
        scans, source, source.validation_limit, wants_validation=True
    )
    for name, report in reports.items():
        if not report.num_kept:
            raise DatasetError(
                f"the {name} part has no usable sample: {report.num_seen} seen, dropped "
                f"{dict(report.dropped)}; see text.normalization and text.max_chars"
            )
    alphabet = normalize(source.alphabet, text.normalization)
    characters = reports["train"].characters.keys() | set(alphabet)
    charset = Charset("".join(sorted(characters)))
    return DatasetIndex(train, validation, charset, reports)


def index_for_evaluation(source: SourceConfig, subset: Subset | None) -> SubsetIndex:
    """Return all labelled rows of a source, or of one subset of it, up to `source.limit`."""
    fragments = []
    if subset != "validation" or source.validation_fraction:
        fragments += source.fragments("train")
    if subset != "train" and not source.validation_fraction:
        fragments += source.fragments("validation")
    if not fragments:
        raise DatasetError("this dataset has no validation part")
    text = TextConfig(normalization=Normalization.UNICODE)
    scan = partial(scan_fragment, text=text, num_columns=None, source=source, keep_all=True)
    scans = map(scan, _enough(fragments, source.limit, source.seed))
    picks = []
    for scanned in scans:
        is_wanted = np.ones(len(scanned.rows), bool)
        if subset is not None and source.validation_fraction:
            is_wanted = scanned.is_validation == (subset == "validation")
        picks.append((scanned.fragment, scanned.rows[is_wanted]))
    index = _limit(picks, source.limit, source.seed)
    if not index.num_rows:
        raise DatasetError("this dataset has no labelled sample")
    return index


def rows_of_subset(source: SourceConfig, subset: Subset) -> SubsetIndex:
    """Return the rows of a subset up to its limit, whatever their labels; no label is read.

    A validation part that is not there has no rows.
    """
    limit = source.limit if subset == "train" else source.validation_limit
    fragments = source.fragments(subset)
    if not source.validation_fraction:
        some = _enough(fragments, limit, source.seed)
        return _limit(((part, np.arange(part.num_rows)) for part in some), limit, source.seed)
    if source.fragments("validation"):
        raise ConfigError(_TWO_VALIDATION_PARTS)
    picks = []
    for part in source.fragments("train"):
        share = _uniform_hash(part.key, np.arange(part.num_rows))
        is_wanted = (share < source.validation_fraction) == (subset == "validation")
        picks.append((part, np.flatnonzero(is_wanted)))
    if limit is not None:
        order = np.random.default_rng(source.seed).permutation(len(picks))
        picks = [picks[i] for i in order]
    return _limit(picks, limit, source.seed)


def scan_fragment(
    fragment: Fragment,
    *,
    source: SourceConfig,
    text: TextConfig,
    num_columns: int | None,
    keep_all: bool,
) -> FragmentScan:
    """Judge the labels of one fragment; `keep_all` drops only rows without a label."""
    rows, labels, dropped = [], [], Counter[str]()
    for row, raw in enumerate(source.labels(fragment)):
        label = "" if raw is None else normalize(raw, text.normalization)
        reason = "missing_label" if raw is None else _fault(label, text, num_columns, keep_all)
        if reason:
            dropped[reason] += 1
        else:
            rows.append(row)
            labels.append(label)
    kept = np.array(rows, np.int64)
    is_validation = _uniform_hash(fragment.key, kept) < source.validation_fraction
    return FragmentScan(fragment, kept, tuple(labels), dropped, is_validation)


def _fault(label: str, text: TextConfig, num_columns: int | None, keep_all: bool) -> str:
    if not label:
        return "empty_label"
    if keep_all:
        return ""
    if len(label) > text.max_chars:
        return "label_too_long"
    num_repeats = sum(a == b for a, b in pairwise(label))
    if num_columns is not None and len(label) + num_repeats > num_columns:
        return "label_exceeds_columns"
    return ""


def _enough(fragments: list[Fragment], limit: int | None, seed: int) -> list[Fragment]:
    """Return fragments in random order, twice as many rows as `limit` wants; all without one."""
    if limit is None:
        return fragments
    order = np.random.default_rng(seed).permutation(len(fragments))
    chosen, num_rows = [], 0
    for i in order:
        if num_rows >= 2 * limit:
            break
        chosen.append(fragments[i])
        num_rows += fragments[i].num_rows
    return chosen


def _collect(
    scans: list[FragmentScan], source: SourceConfig, limit: int | None, *, wants_validation: bool
) -> tuple[SubsetIndex, SubsetReport]:
    report = SubsetReport()
    is_shared = source.validation_fraction > 0  # both subsets come from the same rows
    picks = []
    for scan in scans:
        is_wanted = np.ones(len(scan.rows), bool)
        if is_shared:
            is_wanted = scan.is_validation == wants_validation
        picks.append((scan.fragment, scan.rows[is_wanted]))
        if is_shared and wants_validation:  # what was dropped is the training part's account
            report.num_seen += int(is_wanted.sum())
        else:
            report.dropped.update(scan.dropped)
            report.num_seen += scan.fragment.num_rows - int((~is_wanted).sum())
    index = _limit(picks, limit, source.seed)
    report.num_kept = index.num_rows
    scan_of = {scan.fragment: scan for scan in scans}
    for fragment, rows in zip(index.fragments, index.rows, strict=True):
        scan = scan_of[fragment]
        for place in np.searchsorted(scan.rows, rows):
            label = scan.labels[place]
            report.characters.update(label)
            report.lengths[len(label)] += 1
    return index, report


def _limit(picks: Iterable[tuple[Fragment, Rows]], limit: int | None, seed: int) -> SubsetIndex:
    chosen = list(_take(picks, limit, seed))
    return SubsetIndex(tuple(f for f, _ in chosen), tuple(rows for _, rows in chosen))


def _take(
    picks: Iterable[tuple[Fragment, Rows]], limit: int | None, seed: int
) -> Iterator[tuple[Fragment, Rows]]:
    num_taken = 0
    for fragment, rows in picks:
        if limit is not None and num_taken + len(rows) > limit:
            rng = np.random.default_rng([seed, fragment.key])
            rows = np.sort(rng.choice(rows, limit - num_taken, replace=False))
        if len(rows):
            yield fragment, rows
        num_taken += len(rows)
        if num_taken == limit:
            return


def _uniform_hash(key: int, rows: Rows) -> np.ndarray:
    """Map row numbers of a fragment to [0, 1) by splitmix64."""
    with np.errstate(over="ignore"):
        state = (rows.astype(np.uint64) + np.uint64(key << 32)) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state ^ (state >> np.uint64(31))).astype(np.float64) / 2.0**64
