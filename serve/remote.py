"""The ingress's view of the other deployments: few calls, and errors as data."""

import asyncio
from collections import deque
from contextvars import Context
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from .messages import (
    REPLICA_GONE,
    Fault,
    PageOptions,
    PagesAnswer,
    WordJob,
    WordOptions,
    WordsAnswer,
)
from .parts import FEWEST_WORDS, SECONDS_APART, divided, joined
from .protocol import AttentionAnswer, ModelsAnswer

_MOST_CALL_BYTES = 3_000_000  # a call over gRPC may have 4 MiB
_MOST_CALL_WORDS = 64  # of several callers: those of the first do not wait for those of the last
_MOST_CROWDED_WORDS = 128  # one thread reads 585 words/s of so many together, 509 of 64
# No call takes two parts of a request: each has more than half of what one may have.
assert 2 * FEWEST_WORDS > _MOST_CALL_WORDS

_Waiting = tuple[WordJob, "asyncio.Future[WordsAnswer]"]


class Words:
    """The recogniser's deployment.

    A call costs several milliseconds whatever is in it, and a batch of many words less by word, so
    what comes in while calls are under way goes together in the next one, and only a large request
    that nobody is before is divided among the replicas.
    """

    def __init__(
        self, handle: DeploymentHandle[Any], calls_under_way: int, max_seconds: float
    ) -> None:
        """Use a handle with at most so many calls at a time, of which a replica has two."""
        self._handle, self._max_calls, self._max_seconds = handle, calls_under_way, max_seconds
        self._waiting: deque[_Waiting] = deque()
        self._calls: set[asyncio.Task[None]] = set()

    async def read(self, job: WordJob) -> WordsAnswer:
        """Read the words of a request; cancelled while it waits, it costs nothing."""
        loop = asyncio.get_running_loop()
        parts = [(part, loop.create_future()) for part in self._parts(job)]
        self._waiting.extend(parts)
        self._start_calls()
        try:
            async with asyncio.timeout(self._max_seconds):
                answers: list[WordsAnswer] = await asyncio.gather(*(f for _, f in parts))
        except TimeoutError:
            return _timeout(self._max_seconds)
        return joined(answers)

    async def attend(self, image: bytes, options: WordOptions) -> AttentionAnswer | Fault:
        """Read a word with attention."""
        answer: AttentionAnswer | Fault = await _answered(
            self._handle.attend, image, options, max_seconds=self._max_seconds
        )
        return answer

    async def describe(self) -> ModelsAnswer | Fault:
        """Return all models, and the default's name."""
        answer: ModelsAnswer | Fault
        answer = await _answered(self._handle.describe, max_seconds=self._max_seconds)
        return answer

    def _parts(self, job: WordJob) -> list[WordJob]:
        """Divide a request among replicas that are free for it, as far as anybody can tell here."""
        if self._num_waiting_words():
            return [job]
        return divided(job, min(self._max_calls // 2, self._max_calls - len(self._calls)))

    def _start_calls(self) -> None:
        delay_seconds = 0.0
        while self._may_call() and (jobs := self._next_jobs()):
            # Ray cancels what was called in the context of a request whose caller is gone, and a
            # call is of several callers.
            call = asyncio.create_task(self._call(jobs, delay_seconds), context=Context())
            delay_seconds += SECONDS_APART
            self._calls.add(call)
            call.add_done_callback(self._end_call)

    def _may_call(self) -> bool:
        """Say whether one more is of use: a replica's second one only if it has enough to do."""
        num_calls = len(self._calls)
        if num_calls < max(1, self._max_calls // 2):
            return True
        return num_calls < self._max_calls and self._num_waiting_words() >= FEWEST_WORDS

    def _end_call(self, call: "asyncio.Task[None]") -> None:
        self._calls.discard(call)
        self._start_calls()

    def _next_jobs(self) -> list[_Waiting]:
        jobs: list[_Waiting] = []
        num_words = num_bytes = 0
        most_words = self._most_call_words()
        while self._waiting:
            job, future = self._waiting[0]
            if future.done():  # the caller is gone
                self._waiting.popleft()
                continue
            num_words += len(job.images)
            num_bytes += sum(len(image) for image in job.images)
            if jobs and (num_words > most_words or num_bytes > _MOST_CALL_BYTES):
                break
            jobs.append(self._waiting.popleft())
        return jobs

    def _most_call_words(self) -> int:
        """Return the words of a call: more where many wait, as larger batches cost less by word."""
        share = 2 * self._num_waiting_words() // self._max_calls  # of a replica
        return min(max(_MOST_CALL_WORDS, share), _MOST_CROWDED_WORDS)

    def _num_waiting_words(self) -> int:
        """Count those whose callers are not gone."""
        return sum(len(job.images) for job, future in self._waiting if not future.done())

    async def _call(self, jobs: list[_Waiting], delay_seconds: float) -> None:
        try:
            await asyncio.sleep(delay_seconds)
            answers: list[WordsAnswer] | Fault = await _answered(
                self._handle.read, [job for job, _ in jobs], max_seconds=self._max_seconds
            )
        except asyncio.CancelledError:
            _answer_all(jobs, REPLICA_GONE)
            raise
        except Exception as error:  # noqa: BLE001  # a border: the callers get it
            for _, future in jobs:
                if not future.done():
                    future.set_exception(error)
            return
        _answer_all(jobs, answers)


def _answer_all(jobs: list[_Waiting], answers: list[WordsAnswer] | Fault) -> None:
    for number, (_, future) in enumerate(jobs):
        if not future.done():
            future.set_result(answers if isinstance(answers, Fault) else answers[number])


class Pages:
    """The detector's deployment."""

    def __init__(self, handle: DeploymentHandle[Any], max_seconds: float) -> None:
        """Use a handle."""
        self._handle, self._max_seconds = handle, max_seconds

    async def read(self, document: bytes, options: PageOptions) -> PagesAnswer:
        """Read a document."""
        answer: PagesAnswer
        answer = await _answered(
            self._handle.read, document, options, max_seconds=self._max_seconds
        )
        return answer

    async def is_ready(self) -> bool | Fault:
        """Return whether a replica answers."""
        answer: bool | Fault
        answer = await _answered(self._handle.is_ready, max_seconds=self._max_seconds)
        return answer


async def _answered(method: DeploymentHandle[Any], *arguments: object, max_seconds: float) -> Any:  # noqa: ANN401  # of whatever the method gives, or a Fault
    """Call a method; without an answer, say why. Cancelled, cancel the call."""
    call = method.remote(*arguments)
    assert isinstance(call, DeploymentResponse), "no method here is a generator"
    try:
        async with asyncio.timeout(max_seconds):
            return await call
    except TimeoutError:
        call.cancel()
        return _timeout(max_seconds)
    except asyncio.CancelledError:
        call.cancel()
        raise
    except RayActorError:
        return REPLICA_GONE
    except DeploymentUnavailableError:
        return Fault("unavailable", "the deployment is not running")
    except BackPressureError:
        return Fault("overloaded", "too many requests wait")


def _timeout(max_seconds: float) -> Fault:
    return Fault("timeout", f"there was no answer in {max_seconds:g} s")
