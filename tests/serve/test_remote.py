import asyncio
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, cast

import pytest

from serve import remote
from serve.limits import LimitsConfig
from serve.messages import REPLICA_GONE, Reading, WordJob, WordsAnswer
from serve.remote import Words
from serve.waiting import Share


class _Echo(Words):
    """Answers each image with its bytes, without a deployment; calls end when they are let go."""

    def __init__(self, calls_under_way: int) -> None:
        super().__init__(cast("Any", None), calls_under_way, LimitsConfig())
        self.sizes: list[int] = []
        self.may_end = asyncio.Event()
        self.faulty: bytes = b"-"

    async def _call(self, shares: list[Share], delay_seconds: float) -> None:
        jobs = [share.job for share in shares]
        self.sizes.append(sum(len(job.images) for job in jobs))
        await self.may_end.wait()
        for share, job in zip(shares, jobs, strict=True):
            images = [image for image in job.images if isinstance(image, bytes)]
            readings = [Reading(image.decode(), 1.0, ()) for image in images]
            share.hand_out(REPLICA_GONE if self.faulty in images else readings)


def _job(num_words: int) -> WordJob:
    return WordJob([str(number).encode() for number in range(num_words)])


@pytest.mark.parametrize(
    ("calls_under_way", "num_words", "sizes"),
    [
        (2, 100, [100]),  # one replica has all, in one call or several
        (2, 512, [128, 128, 128, 128]),
        (4, 31, [31]),
        (4, 33, [16, 17]),
        (4, 130, [65, 65]),
        (4, 512, [128, 128, 128, 64, 64]),
        (16, 512, [64] * 8),
        (16, 100, [17, 17, 17, 17, 16, 16]),
    ],
)
def test_a_large_request_is_divided_among_the_replicas(
    calls_under_way: int, num_words: int, sizes: list[int]
) -> None:
    async def ask() -> None:
        words = _Echo(calls_under_way)
        words.may_end.set()
        answer = await words.read(_job(num_words))
        assert words.sizes == sizes
        assert isinstance(answer, list)
        assert [reading.text for reading in answer] == [str(n) for n in range(num_words)]

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("calls_under_way", "nums_words", "sizes"),
    [
        (4, [1] * 69, [1, 1, 33, 33, 1]),  # two under way: few words wait for others
        (2, [1] * 69, [1, 33, 35]),
        (1, [1] * 69, [1, 68]),
        (2, [1] + [10] * 40, [1, 40, 128, 116, 116]),  # where very many wait more go together
        (4, [1, 1] + [10] * 10 + [200, 1], [1, 1, 40, 40, 110, 55, 56]),
    ],
)
def test_what_waits_while_all_replicas_have_a_call_goes_together(
    calls_under_way: int, nums_words: list[int], sizes: list[int]
) -> None:
    async def ask() -> None:
        words = _Echo(calls_under_way)
        requests = [asyncio.create_task(words.read(_job(num))) for num in nums_words]
        await asyncio.sleep(0)
        words.may_end.set()
        answers = await asyncio.gather(*requests)
        assert [len(answer) for answer in answers if isinstance(answer, list)] == nums_words
        assert words.sizes == sizes

    asyncio.run(ask())


def test_a_part_that_is_lost_is_the_whole_request_s_fault() -> None:
    async def ask() -> None:
        words = _Echo(4)
        words.may_end.set()
        words.faulty = b"99"
        assert await words.read(_job(128)) == REPLICA_GONE

    asyncio.run(ask())


def test_a_divided_request_whose_caller_is_gone_waits_no_more() -> None:
    async def ask() -> None:
        words = _Echo(4)
        request = asyncio.create_task(words.read(_job(512)))
        await asyncio.sleep(0)
        request.cancel()
        waiting = asyncio.create_task(words.read(_job(3)))
        await asyncio.sleep(0)
        words.may_end.set()
        assert len(await waiting) == 3  # type: ignore[arg-type]  # no Fault
        assert request.cancelled()
        assert words.sizes == [128, 128, 128, 64, 3]

    asyncio.run(ask())


def test_a_replica_that_answers_wrongly_is_an_error_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def too_few(*_arguments: object, max_seconds: float) -> list[WordsAnswer]:
        assert max_seconds == LimitsConfig().max_seconds
        return [[]]

    async def ask() -> None:
        with pytest.raises(ValueError, match="shorter"):
            await Words(cast("Any", SimpleNamespace(read=None)), 2, LimitsConfig()).read(_job(2))

    monkeypatch.setattr(remote, "_answered", too_few)
    asyncio.run(ask())


CALLER: ContextVar[str] = ContextVar("CALLER", default="nobody")


def test_a_call_is_of_no_callers_context_and_cancelled_it_answers_all_of_them() -> None:
    """Ray cancels what was called in the context of a request whose caller is gone."""
    seen = []

    class Handle:
        class read:  # noqa: N801  # as the method of a handle is called
            @staticmethod
            def remote(jobs: list[WordJob]) -> None:
                seen.append(CALLER.get())
                raise asyncio.CancelledError

    async def ask() -> None:
        words = Words(cast("Any", Handle), 1, LimitsConfig())
        CALLER.set("alice")
        assert await asyncio.gather(words.read(_job(1)), words.read(_job(2))) == [REPLICA_GONE] * 2

    asyncio.run(ask())
    assert set(seen) == {"nobody"}
