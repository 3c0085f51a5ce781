"""Several recognisers that read as one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ocr_model.decoding.autoregressive import Writer
from ocr_model.decoding.options import DecodeOptions
from ocr_model.decoding.readings import Prediction, Readings
from ocr_model.decoding.search import read_columns, write
from ocr_model.devices import Precision
from ocr_model.errors import ConfigError
from ocr_model.image import ImageInput
from ocr_model.inference.options import AS_USUAL, ReadOptions
from ocr_model.inference.recognizer import Recognizer
from ocr_model.inference.runtimes import TorchRuntime
from ocr_model.models.interface import RecognizerModel
from ocr_model.models.resnet_transformer import ResNetTransformer


class Ensemble:
    """Reads words with several bundles.

    Where all have one charset, one image size and one kind of head, their probabilities are
    averaged at every character (or column), each at its own temperature. Where not, each reads for
    itself, and the text with the largest sum of confidences wins.
    """

    def __init__(self, recognizers: Sequence[Recognizer]) -> None:
        """Take at least two recognisers.

        Raises:
            ConfigError: There are fewer.
        """
        if len(recognizers) < 2:
            raise ConfigError(f"an ensemble needs two recognisers or more, got {len(recognizers)}")
        self._recognizers = list(recognizers)
        runtimes = [recognizer.runtime for recognizer in recognizers]
        members = [runtime for runtime in runtimes if isinstance(runtime, TorchRuntime)]
        self.averages = len(members) == len(runtimes) and _agree(members)
        """Whether probabilities are averaged, and not votes counted."""
        if self.averages:
            self._recognizers = [Recognizer(AveragingRuntime(members))]

    @classmethod
    def load(
        cls,
        paths: Sequence[str | Path],
        *,
        device: str | torch.device | None = None,
        precision: Precision = "auto",
    ) -> "Ensemble":
        """Load bundles, as `Recognizer.load` does.

        Raises:
            BundleError: A folder is incomplete, altered or of another kind.
            ConfigError: There are fewer than two, or there is no such device here.
        """
        return cls([Recognizer.load(path, device=device, precision=precision) for path in paths])

    def read(
        self,
        images: Sequence[ImageInput],
        options: ReadOptions = AS_USUAL,
        *,
        batch_size: int = 64,
    ) -> list[Prediction]:
        """Read words, in their order, as `Recognizer.read` does; it raises what that raises."""
        readings = [
            recognizer.read(images, options, batch_size=batch_size)
            for recognizer in self._recognizers
        ]
        if len(readings) == 1:
            return readings[0]
        return [vote(predictions) for predictions in zip(*readings, strict=True)]


def vote(predictions: Sequence[Prediction]) -> Prediction:
    """Return the text with the largest sum of confidences; the mean of them is its confidence.

    Members that read something else count as confidences of 0 for it. Of those that read it, the
    surest gives the characters' confidences.
    """
    sums: dict[str, float] = {}
    for prediction in predictions:
        sums[prediction.text] = sums.get(prediction.text, 0.0) + prediction.confidence
    text = max(sums, key=lambda candidate: sums[candidate])
    surest = max((p for p in predictions if p.text == text), key=lambda p: p.confidence)
    return replace(surest, confidence=sums[text] / len(predictions))


class AveragingRuntime:
    """Runs models that agree in charset, image size and head, and averages what they say."""

    def __init__(self, members: Sequence[TorchRuntime]) -> None:
        """Take runtimes of which `Ensemble` has found that they agree."""
        first = members[0]
        max_chars = min(member.info.max_chars for member in members)
        self.info = first.info.replace(temperature=1.0, max_chars=max_chars)
        self.charset = first.charset
        self.device = first.device
        self._members = list(members)

    def read(
        self,
        images: UInt8[np.ndarray, "batch height width 3"],
        content_width: np.ndarray,
        *,
        max_chars: int,
        options: DecodeOptions,
    ) -> Readings:
        """Read as `Runtime` says."""
        encoded = [member.encode(images, content_width) for member in self._members]
        temperatures = [member.info.temperature for member in self._members]
        models = [member.model for member in self._members]
        with self._members[0].computing():
            if not self.info.model.writes:
                columns = [
                    (model.column_log_probs(features) / temperature).softmax(-1)
                    for model, features, temperature in zip(
                        models, encoded, temperatures, strict=True
                    )
                ]
                return read_columns(torch.stack(columns).mean(0).log(), max_chars, options)
            writers: list[Writer] = []
            for model, features in zip(models, encoded, strict=True):
                assert isinstance(model, ResNetTransformer)
                writers.append(model.start_writing(features))
            return write(
                AveragingWriter(writers, temperatures),
                batch_size=len(images),
                max_chars=min([max_chars, *map(_longest, models)]),
                device=self.device,
                options=options,
            )


@dataclass
class AveragingWriter:
    """Writers of one charset, fed the same characters."""

    writers: list[Writer]
    temperatures: list[float]

    def step(
        self, newest: Int[Tensor, "rows 1"], position: int
    ) -> tuple[Float[Tensor, "rows classes"], None]:
        """Return the logarithm of the mean of all probabilities."""
        probabilities = [
            (writer.step(newest, position)[0].float() / temperature).softmax(-1)
            for writer, temperature in zip(self.writers, self.temperatures, strict=True)
        ]
        return torch.stack(probabilities).mean(0).log(), None

    def select(self, rows: Int[Tensor, " kept"]) -> None:
        """Go on with these rows only."""
        for writer in self.writers:
            writer.select(rows)


def _agree(members: Sequence[TorchRuntime]) -> bool:
    """Say whether probabilities can be averaged one by one."""
    kinds = set()
    for member in members:
        writes, geometry = member.info.model.writes, member.info.geometry
        columns = None if writes else member.info.model.num_columns(geometry.width)
        place = (str(member.device), member.dtype)
        kinds.add((member.charset.characters, geometry, place, writes, columns))
    return len(kinds) == 1


def _longest(model: RecognizerModel) -> int:
    assert isinstance(model, ResNetTransformer)
    return model.config.max_chars
