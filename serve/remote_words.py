"""The detector's view of the recogniser's deployment."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError
from ray.serve.handle import DeploymentHandle

from ocr_model.bundle import BundleInfo
from ocr_model.decoding.readings import Prediction
from ocr_model.detection.rectify import Crop
from ocr_model.errors import OCRError
from ocr_model.inference.options import ReadOptions

from .messages import Fault, Reading, WordJob, WordOptions, WordsAnswer
from .parts import SECONDS_APART, aspect_of, like_widths, num_parts, size_of

RECOGNIZER_GONE = Fault("unavailable", "a recogniser has ended; send it again")


class RemoteRecognizer:
    """The recogniser's deployment, as `PageReader` takes one; many crops go to all replicas.

    Also where others are under way: a replica puts what waits there in one batch, whosever it is.
    """

    def __init__(
        self,
        words: DeploymentHandle[Any],
        num_replicas: int,
        info: BundleInfo,
        options: WordOptions,
        stop: threading.Event,
    ) -> None:
        """Read with `options`, until `stop` is set; `info` is of the model that they name."""
        self.info = info
        self._words, self._num_replicas = words, num_replicas
        self._options, self._stop = options, stop

    def read(self, images: Sequence[Crop], options: ReadOptions) -> list[Prediction]:
        """Read crops, as the request asks, in orientations and as often as a page reader asks.

        Raises:
            RefusedError: They cannot be read so, or not now.
        """
        go_on(self._stop)
        if not images:
            return []
        words = replace(
            self._options,
            orientations=options.orientations,
            second_look_below=options.second_look_below,
        )
        try:
            answer = self._read_parts(WordJob(images, words))
        except RayActorError as error:
            raise RefusedError(RECOGNIZER_GONE) from error
        except BackPressureError as error:
            raise RefusedError(Fault("overloaded", "too many requests wait")) from error
        if isinstance(answer, Fault):
            raise RefusedError(answer)
        return [
            Prediction(r.text, r.confidence, r.char_confidences, r.rotation, r.error)
            for r in answer
        ]

    def _read_parts(self, job: WordJob) -> WordsAnswer:
        number = num_parts(len(job.images), self._num_replicas)
        parts = like_widths([aspect_of(size_of(image)) for image in job.images], number)
        calls: list[Any] = []  # Ray's answers to come
        for part in parts:
            if calls:
                time.sleep(SECONDS_APART)
            calls.append(self._words.read.remote([job.part(part)]))
        readings: dict[int, Reading] = {}
        for part, call in zip(parts, calls, strict=True):
            (answer,) = call.result()
            if isinstance(answer, Fault):
                return answer
            readings.update(zip(part, answer, strict=True))
        return [readings[index] for index in range(len(job.images))]

    def read_all(self, images: Iterable[Crop], options: ReadOptions) -> Iterator[Prediction]:
        """Read crops as `read` does."""
        yield from self.read(list(images), options)


class RefusedError(OCRError):
    """The recogniser's deployment gave no readings."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.detail)
        self.fault = fault


def go_on(stop: threading.Event) -> None:
    """Go on unless the caller is gone.

    Raises:
        RefusedError: It is.
    """
    if stop.is_set():
        raise RefusedError(Fault("unavailable", "the caller is gone"))
