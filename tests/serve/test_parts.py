import io
import threading
from typing import Any, cast

import cv2
import numpy as np
import pytest
from PIL import Image
from ray.exceptions import ActorDiedError

from ocr_model.inference.options import ReadOptions
from serve.messages import Reading, WordJob, WordOptions, WordsAnswer
from serve.parts import aspect_of, like_widths, size_of
from serve.remote_words import RefusedError, RemoteRecognizer


def _readings(job: WordJob) -> WordsAnswer:
    return [Reading(str(np.asarray(image).max()), 1.0, ()) for image in job.images]


def test_parts_have_words_of_like_width_and_as_many_columns() -> None:
    aspects = [1.0, 6.0, 1.0, 2.0, 1.0, 1.0]
    assert like_widths(aspects, 2) == [[0, 2, 4, 5, 3], [1]]
    assert like_widths(aspects, 1) == [[0, 2, 4, 5, 3, 1]]
    assert like_widths([3.0] * 5, 2) == [[0, 1], [2, 3, 4]]
    assert like_widths([1.0], 4) == [[0]]
    assert like_widths([], 2) == []


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_the_header_tells_the_size_of_a_word(ending: str) -> None:
    data = cv2.imencode(ending, np.zeros((10, 40, 3), np.uint8))[1].tobytes()
    assert size_of(data) == (10, 40)
    assert {size_of(data[:length]) for length in range(len(data))} == {(0, 0), (10, 40)}


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_jpeg_with_exif_before_its_frame_or_of_several_scans_tells_it_too(mode: str) -> None:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "x" * 500
    Image.new(mode, (50, 10)).save(stream, "JPEG", progressive=True, exif=exif)
    assert size_of(stream.getvalue()) == (10, 50)


def test_what_does_not_tell_it_has_no_size() -> None:
    gif = io.BytesIO()
    Image.new("L", (50, 10)).save(gif, "GIF")
    endless = b"\xff\xd8" + b"\xff\xe0\x00\x02" * 1_000_000
    empty = b"\x89PNG\r\n\x1a\n" + bytes(30)
    assert {size_of(data) for data in (b"", gif.getvalue(), endless, empty)} == {(0, 0)}
    assert size_of(np.zeros((10, 25, 3), np.uint8)) == (10, 25)


def test_a_word_is_as_wide_as_it_may_be_turned() -> None:
    sizes = (10, 25), (25, 10), (10, 10), (1, 900), (0, 0), (0, 7)
    assert [aspect_of(size) for size in sizes] == [2.5, 2.5, 1.0, 20.0, 3.0, 3.0]


class _Handle:
    """Of a deployment that reads a crop's value."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.widths: list[list[int]] = []
        self.read, self._fault = self, fault

    def remote(self, jobs: list[WordJob]) -> "_Call":
        self.widths += [[image.shape[1] for image in job.images] for job in jobs]
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


@pytest.mark.parametrize(
    ("num_words", "widths"),
    [(31, [[6] * 31]), (32, [[6] * 16] * 2), (33, [[6] * 16, [6] * 17])],
)
def test_the_words_of_a_page_go_to_all_replicas(num_words: int, widths: list[list[int]]) -> None:
    handle = _Handle()
    crops = [np.full((2, 6, 3), number, np.uint8) for number in range(num_words)]
    found = _recognizer(handle).read(crops, ReadOptions())
    assert handle.widths == widths
    assert [prediction.text for prediction in found] == [str(n) for n in range(num_words)]


def test_those_of_like_width_go_together_and_come_back_in_order() -> None:
    handle = _Handle()
    crops = [np.full((2, 4 + 8 * (n % 2), 3), n, np.uint8) for n in range(40)]
    found = _recognizer(handle).read(crops, ReadOptions())
    assert handle.widths == [[4] * 20 + [12] * 7, [12] * 13]
    assert [prediction.text for prediction in found] == [str(number) for number in range(40)]


def test_a_page_of_which_a_part_is_lost_is_refused() -> None:
    crops = [np.zeros((2, 2, 3), np.uint8)] * 80
    with pytest.raises(RefusedError) as caught:
        _recognizer(_Handle(ActorDiedError())).read(crops, ReadOptions())
    assert caught.value.fault.reason == "unavailable"
