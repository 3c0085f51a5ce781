"""Words that wait in the ingress until a replica is free for them."""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ocr_model.errors import ImageError

from .messages import Fault, Reading, WordJob, WordsAnswer
from .parts import aspect_of, like_widths, size_of

# Words of so many calls are looked at for those of like width; with more, some wait long.
_WINDOW_CALLS = 2


class _Request:
    """The words of one caller, which may be read by several calls."""

    def __init__(self, job: WordJob, max_pixels: int) -> None:
        sizes = [size_of(image) for image in job.images]
        self.job, self.aspects = job, [aspect_of(size) for size in sizes]
        self.answer: asyncio.Future[WordsAnswer] = asyncio.get_running_loop().create_future()
        self._readings = _too_large(sizes, max_pixels)
        self.waiting = [i for i in range(len(sizes)) if i not in self._readings]
        self.take([], [])  # the answer is there already where nothing is left to read
        self.options_hash = hash(job.options)  # lexicons are long to compare again and again

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
        return self.request.job.part(self.indices)

    def hand_out(self, answer: WordsAnswer) -> None:
        """Hand the readings to the caller, or why there are none."""
        self.request.take(self.indices, answer)

    def fail(self, error: Exception) -> None:
        """Hand an error to the caller."""
        if not self.request.answer.done():
            self.request.answer.set_exception(error)


_Word = tuple[_Request, int]


class WaitingWords:
    """Words by request, in the order in which they came."""

    def __init__(self, most_call_bytes: int, max_pixels: int) -> None:
        """Let a call have so many bytes, or one word that has more, and a request so many pixels.

        Those of pictures that are neither PNG nor JPEG are counted where they are read.
        """
        self._most_call_bytes, self._max_pixels = most_call_bytes, max_pixels
        self._requests: deque[_Request] = deque()

    def add(self, job: WordJob) -> "asyncio.Future[WordsAnswer]":
        """Queue the words of a request; cancelled, they are dropped."""
        request = _Request(job, self._max_pixels)
        self._requests.append(request)
        return request.answer

    def __len__(self) -> int:
        """Count the words whose callers are not gone."""
        return sum(len(r.waiting) for r in self._requests if not r.answer.done())

    def next_call(self, num_words: int) -> list[Share]:
        """Take words, with the one that has waited longest.

        Those of the same options, which can share a batch, of like width: about `num_words`, of
        narrow ones up to twice as many. Then others, until there are so many.
        """
        self._requests = deque(r for r in self._requests if r.waiting and not r.answer.done())
        if not self._requests:
            return []
        key = self._requests[0].options_hash
        alike = (r for r in self._requests if r.options_hash == key)
        chosen = _of_like_width(list(islice(_words(alike), _WINDOW_CALLS * num_words)), num_words)
        others = (r for r in self._requests if r.options_hash != key)
        return self._taken(chosen + list(islice(_words(others), max(0, num_words - len(chosen)))))

    def _taken(self, words: list[_Word]) -> list[Share]:
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


def _words(requests: Iterable[_Request]) -> Iterator[_Word]:
    for request in requests:
        for index in request.waiting:
            yield request, index


def _of_like_width(words: list[_Word], num_words: int) -> list[_Word]:
    """Choose about so many of like width, in their order, with the first of all."""
    number = round(len(words) / num_words)
    if number < 2:
        return words
    parts = like_widths([request.aspects[index] for request, index in words], number)
    chosen = next(sorted(part) for part in parts if 0 in part)
    return [words[place] for place in chosen]


def _too_large(sizes: list[tuple[int, int]], max_pixels: int) -> dict[int, Reading]:
    """Return errors of the words that are beyond what all may have together."""
    errors = {}
    for index, (height, width) in enumerate(sizes):
        if height * width > max_pixels:
            detail = f"{width}x{height}, at most {max_pixels} pixels"
            errors[index] = Reading("", 0.0, (), error=str(ImageError("too_large", detail)))
        else:
            max_pixels -= height * width
    return errors
