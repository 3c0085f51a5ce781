"""Accuracy, CER, WER, 1-NED, BLEU and calibration, as counts that add up over batches and ranks."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float
from rapidfuzz.distance import Levenshtein
from sacrebleu.metrics.bleu import BLEU

from ocr_model.charset import Normalization, normalize

_BLEU_ORDER = 4
_CALIBRATION_BINS = 15
_LEAST_LIKELIHOOD = 1e-6


@dataclass
class ReadingCounts:
    """Sufficient statistics of a set of readings. Every field adds up."""

    num_words: float = 0.0
    num_exact: float = 0.0
    """Equal to the truth, case and punctuation included."""
    num_alphanumeric: float = 0.0
    """Equal after removing all but ASCII letters and digits and folding case: the 36-character
    accuracy of the benchmarks."""
    num_comparable: float = 0.0
    """Words whose truth has an ASCII letter or digit; `num_alphanumeric` is counted among them."""
    num_chars: float = 0.0
    num_char_edits: float = 0.0
    num_char_matches: float = 0.0
    """Positions where truth and reading have the same character."""
    num_char_positions: float = 0.0
    """Length of the longer of truth and reading."""
    num_terms: float = 0.0
    """White-space separated words of the truth."""
    num_term_edits: float = 0.0
    sum_similarity: float = 0.0
    """Sum of 1 - edits / length of the longer: the 1-NED of ICDAR 2019."""
    bleu_system_length: float = 0.0
    bleu_reference_length: float = 0.0
    bleu_correct_1: float = 0.0
    bleu_correct_2: float = 0.0
    bleu_correct_3: float = 0.0
    bleu_correct_4: float = 0.0
    bleu_total_1: float = 0.0
    bleu_total_2: float = 0.0
    bleu_total_3: float = 0.0
    bleu_total_4: float = 0.0

    def __add__(self, other: "ReadingCounts") -> "ReadingCounts":
        return ReadingCounts.from_array(self.to_array() + other.to_array())

    def to_array(self) -> Float[np.ndarray, " fields"]:
        """Return the counts in the order of the fields, for reduction over ranks."""
        return np.array([getattr(self, field.name) for field in fields(self)], np.float64)

    @classmethod
    def from_array(cls, values: Float[np.ndarray, " fields"]) -> "ReadingCounts":
        """Undo `to_array`."""
        return cls(*values.tolist())

    def summary(self) -> dict[str, float]:
        """Return the ratios.

        `token_accuracy` is the share of positions with the right character; `bleu` is BLEU-4 on
        characters (sacrebleu, tokenize=char, exponential smoothing), in `[0, 100]`; all others are
        in `[0, 1]` but `cer` and `wer`, which may exceed 1.
        """
        return {
            "word_accuracy": _ratio(self.num_alphanumeric, self.num_comparable),
            "word_accuracy_exact": _ratio(self.num_exact, self.num_words),
            "token_accuracy": _ratio(self.num_char_matches, self.num_char_positions),
            "cer": _ratio(self.num_char_edits, self.num_chars),
            "wer": _ratio(self.num_term_edits, self.num_terms),
            "ned": _ratio(self.sum_similarity, self.num_words),
            "bleu": self._bleu(),
        }

    def _bleu(self) -> float:
        orders = range(1, _BLEU_ORDER + 1)
        score = BLEU.compute_bleu(
            correct=[int(getattr(self, f"bleu_correct_{n}")) for n in orders],
            total=[int(getattr(self, f"bleu_total_{n}")) for n in orders],
            sys_len=int(self.bleu_system_length),
            ref_len=int(self.bleu_reference_length),
            smooth_method="exp",
        )
        return score.score


class CalibrationCounts:
    """How often words of like confidence are right. Adds up.

    Source: Guo et al. 2017 (arXiv:1706.04599), section 2, with 15 bins.
    """

    def __init__(self, values: Float[np.ndarray, " fields"] | None = None) -> None:
        self.values: Float[np.ndarray, " fields"] = (
            np.zeros(1 + 3 * _CALIBRATION_BINS) if values is None else values
        )
        """Sum of log losses, then by bin: words, confidences, right words."""

    @classmethod
    def of(cls, confidences: Sequence[float], is_right: Sequence[bool]) -> "CalibrationCounts":
        """Count words by their confidence, in `[0, 1]`."""
        sure, right = np.array(confidences, np.float64), np.array(is_right, bool)
        bins = np.minimum((sure * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1)
        likelihood = np.where(right, sure, 1 - sure).clip(_LEAST_LIKELIHOOD)
        by_bin = [
            np.bincount(bins, weights, _CALIBRATION_BINS)
            for weights in (np.ones_like(sure), sure, right.astype(np.float64))
        ]
        return cls(np.concatenate([[-np.log(likelihood).sum()], *by_bin]))

    def __add__(self, other: "CalibrationCounts") -> "CalibrationCounts":
        return CalibrationCounts(self.values + other.values)

    @property
    def num_words(self) -> float:
        """Words counted."""
        return float(self._by_bin[0].sum())

    @property
    def log_loss(self) -> float:
        """Mean over words of -log of the probability that was given to what came out."""
        return _ratio(float(self.values[0]), self.num_words)

    @property
    def error(self) -> float:
        """Expected calibration error: by how much confidence and accuracy of a bin differ."""
        _, confidences, right = self._by_bin
        return _ratio(float(np.abs(confidences - right).sum()), self.num_words)

    @property
    def _by_bin(self) -> Float[np.ndarray, "3 bins"]:
        return self.values[1:].reshape(3, -1)


def count_readings(truths: Sequence[str], readings: Sequence[str]) -> ReadingCounts:
    """Compare readings with truths, pair by pair.

    Raises:
        ValueError: There are not as many readings as truths.
    """
    counts = ReadingCounts(num_words=float(len(truths)))
    for truth, reading in zip(truths, readings, strict=True):
        edits = Levenshtein.distance(truth, reading)
        longer = max(len(truth), len(reading))
        counts.num_exact += truth == reading
        counts.num_comparable += bool(alphanumeric(truth))
        counts.num_alphanumeric += is_right(truth, reading)
        counts.num_chars += len(truth)
        counts.num_char_edits += edits
        counts.num_char_matches += sum(a == b for a, b in zip(truth, reading, strict=False))
        counts.num_char_positions += longer
        counts.num_terms += len(truth.split())
        counts.num_term_edits += Levenshtein.distance(truth.split(), reading.split())
        counts.sum_similarity += 1 - edits / longer if longer else 1
    if truths:
        _count_ngrams(counts, truths, readings)
    return counts


def is_right(truth: str, reading: str) -> bool:
    """Compare the 36-character forms; a truth without one is never right."""
    return bool(alphanumeric(truth)) and alphanumeric(truth) == alphanumeric(reading)


def alphanumeric(text: str) -> str:
    """Return the 36-character form that benchmarks compare."""
    return normalize(text, Normalization.ALPHANUMERIC).lower()


def _count_ngrams(counts: ReadingCounts, truths: Sequence[str], readings: Sequence[str]) -> None:
    score = BLEU(tokenize="char", max_ngram_order=_BLEU_ORDER).corpus_score(
        list(readings), [list(truths)]
    )
    counts.bleu_system_length, counts.bleu_reference_length = score.sys_len, score.ref_len
    for n in range(1, _BLEU_ORDER + 1):
        setattr(counts, f"bleu_correct_{n}", score.counts[n - 1])
        setattr(counts, f"bleu_total_{n}", score.totals[n - 1])


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
