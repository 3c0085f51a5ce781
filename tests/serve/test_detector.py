import asyncio
import io
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from PIL import Image
from ray.exceptions import ActorDiedError

from ocr_model.bundle import BundleInfo
from ocr_model.inference.recognizer import Recognizer
from serve.config import PagesConfig
from serve.detector import PageService
from serve.limits import LimitsConfig
from serve.messages import Fault, PageOptions, PagesAnswer, Reading, WordJob, WordsAnswer

NUM_PAGES = 6


class _Words:
    """A handle of the recogniser's deployment, whose calls `answer`."""

    def __init__(self, info: BundleInfo, answer: Callable[[WordJob], WordsAnswer]) -> None:
        self.infos = self.read = self
        self._info, self._answer, self.num_calls = info, answer, 0

    def remote(self, *jobs: list[WordJob]) -> object:
        if not jobs:
            return self._known()
        self.num_calls += 1
        return _Call(lambda: [self._answer(job) for job in jobs[0]])

    async def _known(self) -> tuple[str, dict[str, BundleInfo]]:
        return "compact", {"compact": self._info}


class _Call:
    def __init__(self, result: Callable[[], list[WordsAnswer]]) -> None:
        self.result = result


@pytest.fixture(scope="module")
def info() -> BundleInfo:
    return Recognizer.load().info


def _document(picture: Callable[..., bytes]) -> bytes:
    first, *others = [Image.open(io.BytesIO(picture("HOTEL Paris")))] * NUM_PAGES
    document = io.BytesIO()
    first.save(document, "TIFF", save_all=True, append_images=others)
    return document.getvalue()


def _read(words: _Words, document: bytes) -> PagesAnswer:
    pages = PageService(PagesConfig(device="cpu"), LimitsConfig(), cast("Any", words), 1)
    return asyncio.run(pages.read(document, PageOptions()))


def test_while_words_of_a_page_are_read_others_are_searched(
    info: BundleInfo, page_picture: Callable[..., bytes]
) -> None:
    together = threading.Barrier(3, timeout=60)

    def answer(job: WordJob) -> WordsAnswer:
        together.wait()
        return [Reading("sure", 1.0, (1.0,) * 4)] * len(job.images)

    pages = _read(_Words(info, answer), _document(page_picture))
    assert isinstance(pages, list)
    assert [page.number for page in pages] == list(range(1, NUM_PAGES + 1))
    assert {word.text for page in pages for word in page.words} == {"sure"}


def test_once_the_words_of_a_page_are_lost_no_further_ones_are_asked_for(
    info: BundleInfo, page_picture: Callable[..., bytes]
) -> None:
    def answer(job: WordJob) -> WordsAnswer:
        raise ActorDiedError

    words = _Words(info, answer)
    found = _read(words, _document(page_picture))
    assert isinstance(found, Fault)
    assert found.reason == "unavailable"
    assert words.num_calls < NUM_PAGES


def test_health_is_that_of_the_network(info: BundleInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of order")

    words = cast("Any", _Words(info, lambda job: []))
    pages = PageService(PagesConfig(device="cpu"), LimitsConfig(), words, 1)
    asyncio.run(pages.check_health())
    monkeypatch.setattr("ocr_model.detection.compact.CompactDetector.find", fail)
    with pytest.raises(RuntimeError, match="out of order"):
        asyncio.run(pages.check_health())
