"""How an export reads beside the original."""

import time
from typing import Any

import numpy as np
import torch
from pydantic import ConfigDict

from ocr_model.config import Config
from ocr_model.decoding.readings import Prediction
from ocr_model.errors import ExportError
from ocr_model.exporting.words import Words
from ocr_model.exports import ExportKind
from ocr_model.inference.evaluation import (
    WordResult,
    figures_of,
    read_samples,
    read_words,
    warm_up,
)
from ocr_model.inference.recognizer import Recognizer


class Figures(Config):
    """How a kind reads beside the original; kept in its `export.json`."""

    model_config = ConfigDict(allow_inf_nan=True)  # metrics are what they are

    development_words: int
    threads: int
    before: dict[str, int | float]
    """The original's metrics."""
    after: dict[str, int | float]
    """The export's."""
    same_readings: float
    """Share of words that both read alike, right or wrong."""
    most_confidence_change: float
    data: dict[str, Any]
    """Settings of the source that differ from the defaults."""
    calibration_words: int | None = None


_LEAST_SAME: dict[ExportKind, float] = {"onnx": 1.0, "half": 0.95, "int8": 0.8}
"""Share of words that must read as the original's do, right or wrong. INT8 changed 5 % of a small
model's readings, nearly all of them wrong before, too."""
_CONFIDENCE_TOLERANCE = 1e-3  # of onnx, which computes the same in another order


def compare(
    original: Recognizer, exported: dict[ExportKind, Recognizer], words: Words, batch_size: int
) -> dict[ExportKind, Figures]:
    """Read the development words with all, batch by batch in turn, so that all are timed alike.

    Returns:
        By kind: the metrics of the original and of the export, and how alike they read.
    """
    readers: dict[str, Recognizer] = {"original": original}
    readers.update(exported.items())
    results: dict[str, list[WordResult]] = {name: [] for name in readers}
    seconds: dict[str, float] = dict.fromkeys(readers, 0.0)
    for reader in readers.values():
        warm_up(reader, batch_size)
    for start in range(0, words.development.num_rows, batch_size):
        samples = list(read_samples(words.data, words.development, start, batch_size))
        for name, reader in readers.items():
            began = time.perf_counter()
            results[name] += read_words(reader, samples, batch_size)
            seconds[name] += time.perf_counter() - began
    found = {name: figures_of(results[name], seconds[name]) for name in readers}
    return {
        kind: Figures(
            development_words=len(results[kind]),
            threads=torch.get_num_threads(),
            before=found["original"],
            after=found[kind],
            **_likeness(_read(results["original"]), _read(results[kind])),
            data=words.data.model_dump(mode="json", exclude_defaults=True),
            calibration_words=words.calibration.num_rows if kind == "int8" else None,
        )
        for kind in exported
    }


def require_alike(kind: ExportKind, figures: Figures, max_points_lost: float) -> None:
    """Refuse an export that reads otherwise than the original.

    Raises:
        ExportError: It does, by more than its kind may.
    """
    accuracies = [part["word_accuracy_exact"] for part in (figures.before, figures.after)]
    read = f"reads {accuracies[1]:.2%} of the words exactly, the original {accuracies[0]:.2%}"
    is_off = kind == "onnx" and figures.most_confidence_change > _CONFIDENCE_TOLERANCE
    if figures.same_readings < _LEAST_SAME[kind] or is_off:
        raise ExportError(
            f"{kind} {read}. It reads {figures.same_readings:.2%} of {figures.development_words} "
            f"alike, at least {_LEAST_SAME[kind]:.0%} was expected; confidences differ by up to "
            f"{figures.most_confidence_change:.1g}. It was not kept"
        )
    lost = 100 * (accuracies[0] - accuracies[1])
    if kind != "onnx" and lost > max_points_lost:
        raise ExportError(
            f"{kind} {read}: {lost:.2f} points lost, more than max_points_lost={max_points_lost}. "
            "It was not kept; give more calibration_words, and data like the words to be read"
        )


def _read(results: list[WordResult]) -> list[Prediction]:
    return [result.prediction for result in results if not result.error]


def _likeness(before: list[Prediction], after: list[Prediction]) -> dict[str, float]:
    is_same = np.array([p.text == q.text for p, q in zip(before, after, strict=True)])
    change = [abs(p.confidence - q.confidence) for p, q in zip(before, after, strict=True)]
    return {
        "same_readings": round(float(is_same.mean()), 6) if before else 0.0,
        "most_confidence_change": round(max(change, default=1.0), 8),
    }
