"""The labels of a fragment: normalised, counted, and judged fit for training or not."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool
from pydantic import PositiveInt

from ocr_model.charset import Normalization, normalize
from ocr_model.config import Config
from ocr_model.data.fragments import Fragment, Rows
from ocr_model.data.source_config import SourceConfig


class TextConfig(Config):
    """How labels are read."""

    normalization: Normalization = Normalization.ALPHANUMERIC
    """alphanumeric (ASCII letters and digits), printable (95 of ASCII), or unicode."""
    max_chars: PositiveInt = 25
    """Training samples with longer labels are dropped, and counted."""


@dataclass(frozen=True)
class FragmentScan:
    """Labels of one fragment, judged."""

    fragment: Fragment
    rows: Rows
    labels: tuple[str, ...]
    """Normalised, one per kept row."""
    is_validation: Bool[np.ndarray, " rows"]
    """True where `validation_fraction` sets the row apart."""
    num_validation: int
    """Rows that are set apart, those without a label too."""
    dropped: Counter[str]
    dropped_of_validation: Counter[str]


def scan_fragment(
    fragment: Fragment,
    *,
    source: SourceConfig,
    text: TextConfig,
    num_columns: int | None,
    keep_all: bool = False,
) -> FragmentScan:
    """Judge the labels of one fragment.

    Of rows set apart for validation only those without a label are dropped, with `keep_all` of all.
    """
    rows, labels = [], []
    dropped: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    is_validation = find_held_out(fragment, source)
    judged = zip(source.labels(fragment), is_validation.tolist(), strict=True)
    for row, (raw, is_held_out) in enumerate(judged):
        label = "" if raw is None else normalize(raw, text.normalization)
        keeps_long = keep_all or is_held_out
        reason = "missing_label" if raw is None else _fault(label, text, num_columns, keeps_long)
        if reason:
            dropped[is_held_out][reason] += 1
        else:
            rows.append(row)
            labels.append(label)
    kept = np.array(rows, np.int64)
    num_validation = int(is_validation.sum())
    return FragmentScan(
        fragment, kept, tuple(labels), is_validation[kept], num_validation, *dropped
    )


def _fault(label: str, text: TextConfig, num_columns: int | None, keep_all: bool) -> str:
    if not label:
        return "empty_label"
    if keep_all:
        return ""
    if len(label) > text.max_chars:
        return "label_too_long"
    if num_columns is not None and columns_needed(label) > num_columns:
        return "label_exceeds_columns"
    return ""


def columns_needed(label: str) -> int:
    """Return the columns that CTC needs: one per character and one between equal neighbours."""
    return len(label) + sum(a == b for a, b in pairwise(label))


def find_held_out(
    fragment: Fragment, source: SourceConfig
) -> Bool[np.ndarray, "{fragment.num_rows}"]:
    """Say of each row whether `validation_fraction` sets it apart: by a hash, the same anywhere."""
    rows = np.arange(fragment.num_rows)
    return _uniform_hash(fragment.key, rows) < source.held_out_share(fragment)


def _uniform_hash(key: int, rows: Rows) -> np.ndarray:
    """Map row numbers of a fragment to [0, 1) by splitmix64."""
    with np.errstate(over="ignore"):
        state = (rows.astype(np.uint64) + np.uint64(key << 32)) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state ^ (state >> np.uint64(31))).astype(np.float64) / 2.0**64
