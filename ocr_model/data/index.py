"""Which rows of a dataset are used: splitting, limiting, counting."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ocr_model.charset import Charset, Normalization, normalize
from ocr_model.data.fragments import Fragment, Lengths, Rows, SubsetIndex
from ocr_model.data.labels import (
    FragmentScan,
    TextConfig,
    columns_needed,
    find_held_out,
    scan_fragment,
)
from ocr_model.data.reports import SubsetReport
from ocr_model.data.source_config import SourceConfig, Subset
from ocr_model.errors import ConfigError, DatasetError

ParallelMap = Callable[[Callable[[Fragment], FragmentScan], list[Fragment]], Iterable[FragmentScan]]
"""Like the built-in `map`; results in order."""

_TWO_VALIDATION_PARTS = (
    "this dataset has a validation part of its own; data.validation_fraction would shrink both "
    "parts"
)


@dataclass(frozen=True)
class DatasetIndex:
    """Both subsets, the vocabulary of the first, and the account of what was dropped."""

    train: SubsetIndex
    validation: SubsetIndex
    charset: Charset
    reports: dict[Subset, SubsetReport]


@dataclass(frozen=True)
class _Part:
    """Which rows of the scanned fragments make up a subset."""

    limit: int | None
    is_validation: bool | None = None
    """Of rows that `validation_fraction` divides, which; None: all rows."""

    def rows(self, scan: FragmentScan) -> Rows:
        if self.is_validation is None:
            return scan.rows
        rows: Rows = scan.rows[scan.is_validation == self.is_validation]
        return rows

    def is_full(self, scans: Iterable[FragmentScan]) -> bool:
        return self.limit is not None and sum(len(self.rows(s)) for s in scans) >= self.limit


def index_dataset(
    source: SourceConfig,
    text: TextConfig,
    *,
    num_columns: int | None = None,
    parallel_map: ParallelMap = map,
) -> DatasetIndex:
    """Read all labels once and decide which rows are trained and validated on.

    Labels that are too long leave the training part only: validation judges every labelled row, and
    which rows those are depends on the source's settings, but not on `limit`.

    Args:
        source: The dataset.
        text: How labels are normalised, and how long they may be.
        num_columns: Columns of a CTC model, which must spell every training label.
        parallel_map: Runs the scan of fragments, the one slow part, on threads or a cluster.

    Raises:
        ConfigError: Texts are drawn that the normalisation takes out of their labels.
        DatasetError: A subset is missing or empty, or every label was dropped.
    """
    _require_kept_characters(source, text)
    scan = partial(scan_fragment, text=text, num_columns=num_columns, source=source)
    fragments, own = source.fragments("train"), source.fragments("validation")
    is_shared = source.sets_rows_apart  # both subsets come from the same rows
    if own and is_shared:
        raise ConfigError(_TWO_VALIDATION_PARTS)
    if not own and not is_shared:
        raise DatasetError(
            "this dataset has no validation part: set one, or data.validation_fraction=0.1 to set "
            "rows apart"
        )
    parts = (
        _Part(source.limit, False if is_shared else None),
        _Part(source.validation_limit, True if is_shared else None),
    )
    if is_shared:
        scans = _scan_until_full(fragments, parts, source.seed, scan, parallel_map)
        train, validation = (_collect(fragments, scans, part, source.seed) for part in parts)
    else:
        scans = _scan_until_full(fragments, parts[:1], source.seed, scan, parallel_map)
        train = _collect(fragments, scans, parts[0], source.seed)
        scan = partial(scan, keep_all=True)
        scans = _scan_until_full(own, parts[1:], source.seed, scan, parallel_map)
        validation = _collect(own, scans, parts[1], source.seed)
    reports: dict[Subset, SubsetReport] = {"train": train[1], "validation": validation[1]}
    for name, report in reports.items():
        if not report.num_kept:
            raise DatasetError(f"the {name} part {_emptiness(report, source)}")
    alphabet = normalize(source.alphabet, text.normalization)
    characters = reports["train"].characters.keys() | set(alphabet)
    charset = Charset("".join(sorted(characters)))
    repeated = train[0].repeated(map(source.times_seen, train[0].fragments))
    return DatasetIndex(repeated, validation[0], charset, reports)


def _require_kept_characters(source: SourceConfig, text: TextConfig) -> None:
    """Refuse what is drawn but not taught: labels would be shorter than planned, or empty."""
    kept = {c: c.isspace() or normalize(c, text.normalization) for c in source.alphabet}
    lost = "".join(c for c in kept if not kept[c])
    if lost:
        raise ConfigError(
            f"data.lexicon draws {lost!r}, which text.normalization={text.normalization.value} "
            "takes out of labels: set text.normalization to printable or unicode, or draw others"
        )


def _emptiness(report: SubsetReport, source: SourceConfig) -> str:
    if report.num_seen:
        return (
            f"has no usable sample: {report.num_seen} seen, dropped {dict(report.dropped)}; see "
            "text.normalization and text.max_chars"
        )
    if source.sets_rows_apart:
        share = source.validation_fraction or "(of the parts)"
        return (
            f"is empty: data.validation_fraction={share} of so few rows leaves it none; change it, "
            "or give more rows"
        )
    return "is empty: the dataset has no row there"


def index_for_evaluation(
    source: SourceConfig,
    subset: Subset | None,
    normalization: Normalization = Normalization.UNICODE,
) -> SubsetIndex:
    """Return the labelled rows of a source, or of one subset of it.

    Args:
        source: The dataset. `validation_limit` limits the validation part, to the rows that
            training validates on, `limit` anything else.
        subset: None: all rows.
        normalization: Rows of which it leaves no character count as not labelled.

    Raises:
        DatasetError: There is no such part, or no label in it.
    """
    fragments = []
    if subset != "validation" or source.sets_rows_apart:
        fragments += source.fragments("train")
    if subset != "train" and not source.sets_rows_apart:
        fragments += source.fragments("validation")
    if not fragments and subset == "validation":
        raise DatasetError(
            "this dataset has no validation part; the data.validation_fraction of its training "
            "sets the same rows apart, subset=all reads all"
        )
    is_divided = subset is not None and source.sets_rows_apart
    part = _Part(
        source.validation_limit if subset == "validation" else source.limit,
        subset == "validation" if is_divided else None,
    )
    text = TextConfig(normalization=normalization)
    scan = partial(scan_fragment, text=text, num_columns=None, source=source, keep_all=True)
    scans = _scan_until_full(fragments, [part], source.seed, scan, map)
    index = _choose(fragments, scans, part, source.seed)
    if not index.num_rows:
        raise DatasetError("this dataset has no labelled sample")
    return index


def rows_of_subset(source: SourceConfig, subset: Subset) -> SubsetIndex:
    """Return the rows of a subset up to its limit, whatever their labels; no label is read.

    A validation part that is not there has no rows.
    """
    limit = source.limit if subset == "train" else source.validation_limit
    is_shared = source.sets_rows_apart  # both subsets come from the same rows
    if is_shared and source.fragments("validation"):
        raise ConfigError(_TWO_VALIDATION_PARTS)
    picks = []
    fragments = source.fragments("train" if is_shared else subset)
    for fragment in fragments if limit is None else _shuffled(fragments, source.seed):
        rows = np.arange(fragment.num_rows)
        if is_shared:
            rows = rows[find_held_out(fragment, source) == (subset == "validation")]
        picks.append((fragment, rows))
    chosen = list(_take(picks, limit, source.seed))
    return SubsetIndex(tuple(f for f, _ in chosen), tuple(rows for _, rows in chosen))


def _scan_until_full(
    fragments: list[Fragment],
    parts: Sequence[_Part],
    seed: int,
    scan: Callable[[Fragment], FragmentScan],
    parallel_map: ParallelMap,
) -> list[FragmentScan]:
    """Scan fragments in random order until every part has its rows; all where one has no limit.

    The order does not depend on `parts`: more fragments than a part needs do not change its rows.
    """
    limits = [part.limit for part in parts if part.limit is not None]
    if len(limits) < len(parts):
        return list(parallel_map(scan, fragments))
    waiting = _shuffled(fragments, seed)[::-1]
    scans: list[FragmentScan] = []
    wave_rows = 2 * max(limits)
    while waiting and not all(part.is_full(scans) for part in parts):
        wave, num_rows = [], 0
        while waiting and num_rows < wave_rows:
            wave.append(waiting.pop())
            num_rows += wave[-1].num_rows
        scans += parallel_map(scan, wave)
        wave_rows *= 2
    return scans


def _shuffled(fragments: list[Fragment], seed: int) -> list[Fragment]:
    return [fragments[i] for i in np.random.default_rng(seed).permutation(len(fragments))]


def _collect(
    fragments: list[Fragment], scans: list[FragmentScan], part: _Part, seed: int
) -> tuple[SubsetIndex, SubsetReport]:
    report = SubsetReport()
    for scan in scans:
        num_seen, dropped = scan.fragment.num_rows, scan.dropped
        if part.is_validation is not None:
            num_seen -= scan.num_validation
        if part.is_validation:
            num_seen, dropped = scan.num_validation, scan.dropped_of_validation
        report.num_seen += num_seen
        report.dropped.update(dropped)
    index = _choose(fragments, scans, part, seed)
    scan_of = {scan.fragment: scan for scan in scans}
    num_chars, num_columns = [], []
    for fragment, rows in zip(index.fragments, index.rows, strict=True):
        scan = scan_of[fragment]
        labels = [scan.labels[place] for place in np.searchsorted(scan.rows, rows)]
        for label in labels:
            report.count(label)
        num_chars.append(_lengths(len(label) for label in labels))
        num_columns.append(_lengths(columns_needed(label) for label in labels))
    index = SubsetIndex(index.fragments, index.rows, tuple(num_chars), tuple(num_columns))
    return index, report


def _lengths(numbers: Iterable[int]) -> Lengths:
    """Return counts in two bytes; only labels that are not trained on can have more."""
    return np.array([min(number, 65_535) for number in numbers], np.uint16)


def _choose(
    fragments: list[Fragment], scans: list[FragmentScan], part: _Part, seed: int
) -> SubsetIndex:
    """Take all rows of a part, or whole fragments in random order and then random rows."""
    scan_of = {scan.fragment: scan for scan in scans}
    order = fragments if part.limit is None else _shuffled(fragments, seed)
    picks = ((f, part.rows(scan_of[f])) for f in order if f in scan_of)
    chosen = list(_take(picks, part.limit, seed))
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
