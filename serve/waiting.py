"""Words that wait in the ingress until a replica is free for them."""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from .messages import Fault, Reading, WordJob, WordsAnswer
from .parts import aspect_of, like_widths

_WINDOW_CALLS = 4  # as many words as of so many calls are looked at for those of like width


class _Request:
    """The words of one caller, which may be read by several calls."""

    def __init__(self, job: WordJob) -> None:
        self.job = job
        self.waiting = list(range(len(job.images)))
        self.answer: asyncio.Future[WordsAnswer] = asyncio.get_running_loop().create_future()
        self._readings: dict[int, Reading] = {}
        if not job.images:
            self.answer.set_result([])

    @cached_property
    def aspects(self) -> list[float]:
        return [aspect_of(image) for image in self.job.images]

    def take(self, indices: Sequence[int], answer: WordsAnswer) -> None:
        """Take the readings of some words, or why there are none; the last ones are the answer."""
        if self.answer.done():  # the caller is gone, or has been told of a fault
            return
        if isinstance(answer, Fault):
            self.answer.set_result(answer)
            return
        self._readings.update(zip(indices, answer, strict=True))
        num_words = len(self.job.images)
        if len(self._readings) == num_words:
            self.answer.set_result([self._readings[index] for index in range(num_words)])


@dataclass(frozen=True)
class Share:
    """Words of one request that go into a call."""

    request: _Request
    indices: list[int]

    @property
    def job(self) -> WordJob:
        """Return them as a replica takes them."""
        job = self.request.job
        return WordJob([job.images[index] for index in self.indices], job.options)

    def answer(self, answer: WordsAnswer) -> None:
        """Hand the readings to the caller, or why there are none."""
        self.request.take(self.indices, answer)

    def fail(self, error: Exception) -> None:
        """Hand an error to the caller."""
        if not self.request.answer.done():
            self.request.answer.set_exception(error)


class WaitingWords:
    """Words by request, in the order in which they came."""

    def __init__(self, most_call_bytes: int) -> None:
        """Let a call have at most so many bytes, but for a single word that has more."""
        self._most_call_bytes = most_call_bytes
        self._requests: deque[_Request] = deque()

    def add(self, job: WordJob) -> "asyncio.Future[WordsAnswer]":
        """Queue the words of a request; cancelled, they are dropped."""
        request = _Request(job)
        self._requests.append(request)
        return request.answer

    def __len__(self) -> int:
        """Count the words whose callers are not gone."""
        return sum(len(r.waiting) for r in self._requests if not r.answer.done())

    def next_call(self, num_words: int) -> list[Share]:
        """Take some `num_words` of like width, with the one that has waited longest."""
        self._requests = deque(r for r in self._requests if r.waiting and not r.answer.done())
        window = list(islice(self._words(), _WINDOW_CALLS * num_words))
        chosen = window
        num_parts = round(len(window) / num_words)
        if num_parts > 1:
            parts = like_widths([r.aspects[index] for r, index in window], num_parts)
            chosen = next([window[place] for place in sorted(p)] for p in parts if 0 in p)
        return self._taken(chosen)

    def _words(self) -> Iterator[tuple[_Request, int]]:
        for request in self._requests:
            for index in request.waiting:
                yield request, index

    def _taken(self, words: list[tuple[_Request, int]]) -> list[Share]:
        shares: dict[_Request, list[int]] = {}
        num_bytes = 0
        for request, index in words:
            num_bytes += len(request.job.images[index])
            if shares and num_bytes > self._most_call_bytes:
                break
            shares.setdefault(request, []).append(index)
        for request, indices in shares.items():
            taken = set(indices)
            request.waiting = [index for index in request.waiting if index not in taken]
        return [Share(request, indices) for request, indices in shares.items()]
