import asyncio
from typing import Any, cast

from serve.messages import WordJob, WordOptions
from serve.remote import Words


async def _waiting(nums_images: list[int], *, num_bytes: int = 1) -> tuple[Words, list[Any]]:
    """Return a recogniser that makes no calls, and requests that wait for it."""
    words = Words(cast("Any", None), calls_under_way=0, max_seconds=60)
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
