"""How well a bundle reads a dataset."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field, PositiveInt, model_validator
from rich import get_console
from rich.progress import track

from ocr_model.charset import Normalization
from ocr_model.config import Config
from ocr_model.data.fragments import SubsetIndex
from ocr_model.data.index import index_for_evaluation
from ocr_model.data.order import sequential
from ocr_model.data.sources import DataConfig
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.decoding.readings import Prediction
from ocr_model.devices import Precision
from ocr_model.errors import ConfigError, DatasetError
from ocr_model.exports import Kind
from ocr_model.inference.options import UPRIGHT, Orientations, ReadOptions, SecondLook
from ocr_model.inference.recognizer import Recognizer
from ocr_model.metrics import CalibrationCounts, count_readings, is_right
from ocr_model.word_lists import Language

_TORCH_KINDS = ("torch", "half")  # which compute in the precision that they are told


class EvaluateConfig(Config):
    """Settings of jobs/evaluate.py."""

    model: str
    """Folder of the bundle."""
    kind: Kind = "torch"
    """torch: the bundle's own weights. half, onnx and int8: what jobs/export.py made of them."""
    data: DataConfig = SyntheticSource()
    subset: Literal["all", "train", "validation"] = "all"
    """With data.validation_fraction, or a source that has parts: which to read. `all` is every row
    of the source (of `synthetic`: its validation words). `validation` is the rows that training
    with the same `data` validates on, up to data.validation_limit; the others, up to data.limit."""
    batch_size: PositiveInt = 128
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1` ...; null: a GPU where there is one."""
    precision: Precision | None = None
    """Of the kinds torch and half; null: fp32, which gives the figures that training ended with, on
    any machine. auto is what reading uses where it is not told, on this one. Exported graphs
    compute in their own precision."""
    orientations: Orientations = "upright"
    """How words may lie. upright is how training reads them; vertical is what reading uses where it
    is not told."""
    second_look_below: SecondLook = 0.0
    """As in `ReadOptions`, where it is 0.95; training never looks again."""
    language: Language | None = None
    """Such as `en`: its frequent words are likelier, as `Lexicon.of_language` has it."""
    output: str | None = None
    """Parquet file for the result of every word; null: none."""
    max_unreadable: float = Field(0.01, ge=0, le=1)
    """Share of unreadable images above which the evaluation fails."""

    @model_validator(mode="after")
    def _limits_have_effect(self) -> "EvaluateConfig":
        default = type(self.data).model_fields["validation_limit"].default
        if self.subset == "validation" and self.data.limit is not None:
            raise ValueError(
                f"data.limit={self.data.limit} is of the training part and has no effect on "
                "subset=validation; set data.validation_limit"
            )
        if self.subset != "validation" and self.data.validation_limit != default:
            raise ValueError(
                f"data.validation_limit={self.data.validation_limit} has no effect on "
                f"subset={self.subset}; set data.limit"
            )
        return self

    @model_validator(mode="after")
    def _precision_has_effect(self) -> "EvaluateConfig":
        if self.precision is not None and self.kind not in _TORCH_KINDS:
            raise ValueError(
                f"precision={self.precision} has no effect on kind={self.kind}, which computes in "
                "its own; leave it out"
            )
        return self

    def load_recognizer(self) -> Recognizer:
        """Load what is evaluated.

        Raises:
            BundleError: The bundle cannot be loaded.
            ConfigError: There is no such device here, or a setting is not of this kind.
        """
        default: Precision = "fp32" if self.kind in _TORCH_KINDS else "auto"
        return Recognizer.load(
            self.model,
            device=self.device,
            kind=self.kind,
            precision=self.precision or default,
        )

    def read_options(self) -> ReadOptions:
        """Return how words are read."""
        return ReadOptions.of_language(self.language, self.orientations, self.second_look_below)


@dataclass(frozen=True)
class WordResult:
    """One word, read."""

    key: str
    """`uri#part:row`."""
    truth: str
    """The label as it is in the dataset."""
    prediction: Prediction
    """One with an error counts as read wrong."""

    @property
    def error(self) -> str:
        """Why the image could not be read."""
        return self.prediction.error


def evaluate(config: EvaluateConfig) -> dict[str, int | float]:
    """Read a dataset with a bundle and return the metrics.

    Truths are the raw labels: what a model's normalisation removes counts as an error in the exact
    figures. `words_per_second` covers decoding, scaling and reading, after one warm-up batch.

    Raises:
        BundleError: The bundle cannot be loaded.
        DatasetError: The dataset is missing, empty, or more images than allowed are unreadable.
        ConfigError: A setting has no effect, or a language no word that the model writes.
    """
    recognizer = config.load_recognizer()
    index = _index(config, recognizer.info.normalization)
    warm_up(recognizer, config.batch_size)
    options = config.read_options()
    recognizer.read([], options)  # compiles a lexicon
    results: list[WordResult] = []
    seconds = 0.0
    starts = range(0, index.num_rows, config.batch_size)
    is_watched = get_console().is_terminal
    for start in track(starts, "reading", transient=True, disable=not is_watched):
        samples = list(read_samples(config.data, index, start, config.batch_size))
        began = time.perf_counter()
        results += read_words(recognizer, samples, config.batch_size, options)
        seconds += time.perf_counter() - began
    unread = [result for result in results if result.error]
    if len(unread) > config.max_unreadable * len(results):
        listed = "; ".join(f"{result.key}: {result.error}" for result in unread[:5])
        raise DatasetError(
            f"{len(unread)} of {len(results)} images could not be read, more than "
            f"max_unreadable={config.max_unreadable}: {listed}"
        )
    if config.output is not None:
        write_results(results, Path(config.output).expanduser())
    return figures_of(results, seconds)


def write_results(results: list[WordResult], path: Path) -> None:
    """Write one row per word to a Parquet file."""
    table = pa.table(
        {
            "key": [r.key for r in results],
            "truth": [r.truth for r in results],
            "text": [r.prediction.text for r in results],
            "confidence": [r.prediction.confidence for r in results],
            "char_confidences": [list(r.prediction.char_confidences) for r in results],
            "is_exact": [r.truth == r.prediction.text for r in results],
            "is_right": [is_right(r.truth, r.prediction.text) for r in results],
            "error": [r.error for r in results],
        },
        schema=_RESULT_SCHEMA,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
    except OSError as error:
        raise ConfigError(f"cannot write output {path}: {error}") from error


_RESULT_SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("truth", pa.string()),
        ("text", pa.string()),
        ("confidence", pa.float32()),
        ("char_confidences", pa.list_(pa.float32())),
        ("is_exact", pa.bool_()),
        ("is_right", pa.bool_()),
        ("error", pa.string()),
    ]
)

EvaluationSample = tuple[str, str, bytes | np.ndarray | None, str]
"""Key, label, image and error."""


def _index(config: EvaluateConfig, normalization: Normalization) -> SubsetIndex:
    if config.subset == "validation":  # the rows of training, which drops what has no characters
        return index_for_evaluation(config.data, "validation", normalization)
    if not isinstance(config.data, SyntheticSource):
        return index_for_evaluation(config.data, None if config.subset == "all" else "train")
    if config.subset == "train":
        raise ConfigError(
            "of synthetic, only the validation words are read: subset=train has no effect"
        )
    return index_for_evaluation(
        config.data.replace(validation_limit=config.data.limit), "validation"
    )


def read_samples(
    data: DataConfig, index: SubsetIndex, start: int, count: int
) -> Iterator[EvaluationSample]:
    """Give the samples `start..start + count` of the rows."""
    for reference in sequential(index, start, start + count):
        fragment = reference.fragment
        samples = data.read(fragment, reference.rows, epoch=0)
        for row, sample in zip(reference.rows, samples, strict=True):
            key = f"{fragment.uri}#{fragment.part}:{row}"
            yield key, sample.label or "", sample.image, sample.error


def read_words(
    recognizer: Recognizer,
    samples: list[EvaluationSample],
    batch_size: int,
    options: ReadOptions = UPRIGHT,
) -> list[WordResult]:
    """Read samples; those without an image keep their error."""
    images = [image for _, _, image, _ in samples if image is not None]
    predictions = iter(recognizer.read(images, options, batch_size=batch_size))
    results = []
    for key, label, image, error in samples:
        prediction = Prediction("", 0.0, (), error=error) if image is None else next(predictions)
        results.append(WordResult(key, label, prediction))
    return results


def warm_up(recognizer: Recognizer, batch_size: int) -> None:
    """Read a batch, so that what is measured next is not the first."""
    geometry = recognizer.info.geometry
    blank = np.zeros((geometry.height, geometry.width, 3), np.uint8)
    recognizer.read([blank] * batch_size, batch_size=batch_size)


def figures_of(results: list[WordResult], seconds: float) -> dict[str, int | float]:
    """Return the metrics of words that were read in so many seconds."""
    counts = count_readings([r.truth for r in results], [r.prediction.text for r in results])
    calibration = CalibrationCounts.of(
        [r.prediction.confidence for r in results],
        [r.truth == r.prediction.text for r in results],
    )
    return {
        "num_words": int(counts.num_words),
        **{name: round(value, 6) for name, value in counts.summary().items()},
        "ece": round(calibration.error, 6),
        "words_per_second": round(len(results) / seconds, 1),
        "unreadable_images": sum(bool(r.error) for r in results),
    }
