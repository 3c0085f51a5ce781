import asyncio
from contextvars import ContextVar
from typing import Any, cast

import pytest

from serve.messages import REPLICA_GONE, Reading, WordJob, WordOptions
from serve.remote import Words, _Waiting

_CALLS = 16


class _Idle(Words):
    """Makes no calls."""

    def _start_calls(self) -> None:
        pass


async def _waiting(nums_images: list[int], *, num_bytes: int = 1) -> tuple[Words, list[Any]]:
    """Return a recogniser that makes no calls, and requests that wait for it."""
    words = _Idle(cast("Any", None), calls_under_way=_CALLS, max_seconds=60)
    jobs = [WordJob([bytes(num_bytes)] * num, WordOptions()) for num in nums_images]
    requests = [asyncio.create_task(words.read(job)) for job in jobs]
    await asyncio.sleep(0)
    return words, requests


def _sizes(words: Words) -> list[int]:
    return [len(job.images) for job, _ in words._next_jobs()]


def test_what_waits_goes_together_up_to_so_many_words() -> None:
    async def ask() -> None:
        words, _ = await _waiting([30, 30, 30, 200, 1])
        assert [_sizes(words) for _ in range(5)] == [[30, 30], [30], [200], [1], []]

    asyncio.run(ask())


@pytest.mark.parametrize(("num_waiting", "size"), [(40, 60), (80, 100), (200, 120)])
def test_where_very_many_wait_more_go_together(num_waiting: int, size: int) -> None:
    async def ask() -> None:
        words, _ = await _waiting([10] * num_waiting)
        assert sum(_sizes(words)) == size

    asyncio.run(ask())


def test_what_waits_goes_together_up_to_so_many_bytes() -> None:
    async def ask() -> None:
        words, _ = await _waiting([1, 1, 1], num_bytes=1_400_000)
        assert [_sizes(words) for _ in range(2)] == [[1, 1], [1]]

    asyncio.run(ask())


def test_callers_who_are_gone_take_no_place() -> None:
    async def ask() -> None:
        words, requests = await _waiting([60, 30, 60, 30])
        for gone in (requests[0], requests[2]):
            gone.cancel()
        await asyncio.sleep(0)
        assert _sizes(words) == [30, 30]

    asyncio.run(ask())


class _Echo(Words):
    """Answers each image with its bytes, without a deployment; calls end when they are let go."""

    def __init__(self, calls_under_way: int) -> None:
        super().__init__(cast("Any", None), calls_under_way=calls_under_way, max_seconds=60)
        self.sizes: list[int] = []
        self.may_end = asyncio.Event()
        self.faulty: bytes = b"-"

    async def _call(self, jobs: list[_Waiting], delay_seconds: float) -> None:
        self.sizes.append(sum(len(job.images) for job, _ in jobs))
        await self.may_end.wait()
        for job, future in jobs:
            images = [image for image in job.images if isinstance(image, bytes)]
            readings = [Reading(image.decode(), 1.0, ()) for image in images]
            if not future.done():
                future.set_result(REPLICA_GONE if self.faulty in images else readings)


def _job(num_words: int) -> WordJob:
    return WordJob([str(number).encode() for number in range(num_words)])


@pytest.mark.parametrize(
    ("calls_under_way", "num_words", "sizes"),
    [
        (2, 512, [512]),  # one replica
        (4, 65, [65]),
        (4, 67, [34, 33]),
        (4, 512, [256, 256]),
        (16, 512, [64] * 8),
        (16, 100, [34, 33, 33]),
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


def test_where_others_are_under_way_fewer_parts_are_made_and_where_they_wait_none() -> None:
    async def ask() -> None:
        words = _Echo(8)
        nums = [40] * 5 + [512, 200]
        requests = [asyncio.create_task(words.read(_job(num))) for num in nums]
        await asyncio.sleep(0)
        words.may_end.set()
        await asyncio.gather(*requests)
        assert words.sizes == [40] * 5 + [171, 171, 170, 200]

    asyncio.run(ask())


@pytest.mark.parametrize(
    ("calls_under_way", "sizes"),
    [
        (4, [1, 1, 33, 33, 1]),  # two replicas: two words under way, and 67 wait
        (2, [1, 33, 35]),
        (1, [1, 68]),
    ],
)
def test_few_words_wait_for_others_where_all_replicas_have_a_call(
    calls_under_way: int, sizes: list[int]
) -> None:
    async def ask() -> None:
        words = _Echo(calls_under_way)
        requests = [asyncio.create_task(words.read(_job(1))) for _ in range(sum(sizes))]
        await asyncio.sleep(0)
        words.may_end.set()
        await asyncio.gather(*requests)
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
        request = asyncio.create_task(words.read(_job(128)))
        await asyncio.sleep(0)
        request.cancel()
        waiting = asyncio.create_task(words.read(_job(3)))
        await asyncio.sleep(0)
        words.may_end.set()
        assert len(await waiting) == 3  # type: ignore[arg-type]  # no Fault
        assert request.cancelled()

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
        words = Words(cast("Any", Handle), calls_under_way=1, max_seconds=60)
        CALLER.set("alice")
        assert await asyncio.gather(words.read(_job(1)), words.read(_job(2))) == [REPLICA_GONE] * 2

    asyncio.run(ask())
    assert set(seen) == {"nobody"}
