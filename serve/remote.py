"""The ingress's view of the other deployments: few calls, and errors as data."""

import asyncio
from contextvars import Context
from typing import Any

from ray.exceptions import RayActorError
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from .limits import LimitsConfig
from .messages import (
    REPLICA_GONE,
    Fault,
    PageOptions,
    PagesAnswer,
    WordJob,
    WordOptions,
    WordsAnswer,
)
from .parts import SECONDS_APART, num_parts
from .protocol import AttentionAnswer, ModelsAnswer
from .waiting import Share, WaitingWords

_MOST_CALL_BYTES = 3_000_000  # a call over gRPC may have 4 MiB
_CALL_WORDS = 64  # of several callers: those of the first seldom wait for those of the last
_CROWDED_CALL_WORDS = 128  # one thread reads 585 words/s of so many together, 509 of 64
_FEWEST_AHEAD = 33  # words of a call that waits in a replica behind another


class Words:
    """The recogniser's deployment.

    A call costs several milliseconds whatever is in it, and a batch of many words less by word, so
    what comes in while calls are under way goes together in the next one; what comes in while
    several replicas are free is divided among them.
    """

    def __init__(
        self, handle: DeploymentHandle[Any], calls_under_way: int, limits: LimitsConfig
    ) -> None:
        """Use a handle with at most so many calls at a time, of which a replica has two."""
        self._handle, self._max_calls = handle, calls_under_way
        self._max_seconds = limits.max_seconds
        self._num_replicas = max(1, calls_under_way // 2)
        self._waiting = WaitingWords(_MOST_CALL_BYTES, limits.max_word_pixels)
        self._calls: set[asyncio.Task[None]] = set()

    def num_waiting(self) -> int:
        """Count the words that are in no call yet."""
        return len(self._waiting)

    async def read(self, job: WordJob) -> WordsAnswer:
        """Read the words of a request; cancelled while it waits, it costs nothing."""
        answer = self._waiting.add(job)
        self._start_calls()
        try:
            async with asyncio.timeout(self._max_seconds):
                return await answer
        except TimeoutError:
            return _timeout(self._max_seconds)

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

    def _start_calls(self) -> None:
        delay_seconds = 0.0
        while self._may_call() and (shares := self._waiting.next_call(self._call_words())):
            # Ray cancels what was called in the context of a request whose caller is gone, and a
            # call is of several callers.
            call = asyncio.create_task(self._call(shares, delay_seconds), context=Context())
            delay_seconds += SECONDS_APART
            self._calls.add(call)
            call.add_done_callback(self._end_call)

    def _may_call(self) -> bool:
        """Say whether one more is of use: a replica's second one only if it has enough to do."""
        num_calls = len(self._calls)
        if num_calls < self._num_replicas:
            return True
        return num_calls < self._max_calls and len(self._waiting) >= _FEWEST_AHEAD

    def _end_call(self, call: "asyncio.Task[None]") -> None:
        self._calls.discard(call)
        self._start_calls()

    def _call_words(self) -> int:
        """Return about how many words the next call has.

        Where replicas are free, each gets as many columns; else more where many wait, as larger
        batches cost less by word.
        """
        num_words, num_free = len(self._waiting), self._num_replicas - len(self._calls)
        if num_free > 1:
            share = -(-num_words // num_parts(num_words, num_free))
        else:
            share = max(_CALL_WORDS, num_words // self._num_replicas)
        return max(1, min(share, _CROWDED_CALL_WORDS))

    async def _call(self, shares: list[Share], delay_seconds: float) -> None:
        answers: list[WordsAnswer] | Fault
        try:
            await asyncio.sleep(delay_seconds)
            answers = await _answered(
                self._handle.read, [share.job for share in shares], max_seconds=self._max_seconds
            )
            for number, share in enumerate(shares):
                share.hand_out(answers if isinstance(answers, Fault) else answers[number])
        except asyncio.CancelledError:
            for share in shares:
                share.hand_out(REPLICA_GONE)
            raise
        except Exception as error:  # noqa: BLE001  # a border: the callers get it
            for share in shares:
                share.fail(error)


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
