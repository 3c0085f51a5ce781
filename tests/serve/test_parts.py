import threading
from typing import Any, cast

import numpy as np
import pytest
from ray.exceptions import ActorDiedError

from ocr_model.inference.options import ReadOptions
from serve.messages import REPLICA_GONE, Reading, WordJob, WordOptions, WordsAnswer
from serve.parts import divided, joined
from serve.remote_words import RefusedError, RemoteRecognizer


def _readings(job: WordJob) -> WordsAnswer:
    return [Reading(str(np.asarray(image).max()), 1.0, ()) for image in job.images]


@pytest.mark.parametrize(
    ("num_words", "most_parts", "sizes"),
    [(65, 2, [65]), (66, 2, [33, 33]), (100, 8, [34, 33, 33]), (512, 1, [512]), (512, 0, [512])],
)
def test_parts_have_33_words_or_more_and_come_together_in_order(
    num_words: int, most_parts: int, sizes: list[int]
) -> None:
    crops = [np.full((1, 1, 3), number % 256, np.uint8) for number in range(num_words)]
    parts = divided(WordJob(crops, WordOptions(language="en")), most_parts)
    assert [len(part.images) for part in parts] == sizes
    assert {part.options.language for part in parts} == {"en"}
    whole = joined([_readings(part) for part in parts])
    assert isinstance(whole, list)
    assert [reading.text for reading in whole] == [str(n % 256) for n in range(num_words)]
    assert joined([[], REPLICA_GONE]) == REPLICA_GONE


class _Handle:
    """Of a deployment that reads a crop's value."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.sizes: list[int] = []
        self.read, self._fault = self, fault

    def remote(self, jobs: list[WordJob]) -> "_Call":
        self.sizes += [len(job.images) for job in jobs]
        return _Call([_readings(job) for job in jobs], self._fault)


class _Call:
    def __init__(self, answers: list[WordsAnswer], fault: Exception | None) -> None:
        self._answers, self._fault = answers, fault

    def result(self) -> list[WordsAnswer]:
        if self._fault is not None:
            raise self._fault
        return self._answers


def _recognizer(handle: _Handle) -> RemoteRecognizer:
    return RemoteRecognizer(
        cast("Any", handle), 2, cast("Any", None), WordOptions(), threading.Event()
    )


def test_the_words_of_a_page_go_to_all_replicas() -> None:
    handle = _Handle()
    crops = [np.full((2, 2, 3), number, np.uint8) for number in range(80)]
    found = _recognizer(handle).read(crops, ReadOptions())
    assert handle.sizes == [40, 40]
    assert [prediction.text for prediction in found] == [str(number) for number in range(80)]


def test_a_page_of_which_a_part_is_lost_is_refused() -> None:
    crops = [np.zeros((2, 2, 3), np.uint8)] * 80
    with pytest.raises(RefusedError) as caught:
        _recognizer(_Handle(ActorDiedError())).read(crops, ReadOptions())
    assert caught.value.fault.reason == "unavailable"
