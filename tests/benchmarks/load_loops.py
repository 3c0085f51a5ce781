"""Loads of HTTP requests, each from a process of its own: they must not cost what they measure."""

import asyncio
import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import httpx2

_MOST_CONNECTIONS = 512
_MOST_SECONDS = 120.0  # of a request
_NO_ANSWER = 0  # in place of a status
_Loop = Callable[..., Coroutine[Any, Any, dict[str, Any]]]


def closed_loop(
    address: str, requests: list[bytes], clients: int, seconds: float
) -> dict[str, Any]:
    """Let clients send requests in turn, each its next one when it has its answer.

    Returns:
        Accepted requests `per_second`, their `p50_ms` and `p99_ms`, and how often each of the
        `statuses` came.
    """
    return _in_a_process(_close, address, requests, clients, seconds)


def open_loop(
    address: str, requests: list[bytes], per_second: float, seconds: float
) -> dict[str, Any]:
    """Send requests that come by chance (Poisson), whether answers come or not.

    Latencies count from when a request was due. Also tells how many were `offered_per_second`, the
    `p99_ms_of_429` of those that were refused, and how many were `not_sent`, as 512 were under way.
    What broke or took two minutes has the status 0.
    """
    return _in_a_process(_open, address, requests, per_second, seconds)


def _in_a_process(
    loop: _Loop, address: str, requests: list[bytes], load: float, seconds: float
) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        result: dict[str, Any] = pool.apply(_run, (loop, address, requests, load, seconds))
        return result


def _run(
    loop: _Loop, address: str, requests: list[bytes], load: float, seconds: float
) -> dict[str, Any]:
    return asyncio.run(loop(httpx2.URL(address), requests, load, seconds))


class _Connection:
    def __init__(self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self.reader, self.writer = streams

    @classmethod
    async def open(cls, url: httpx2.URL) -> "_Connection":
        return cls(await asyncio.open_connection(url.host, url.port))

    async def ask(self, request: bytes) -> int:
        """Return the status of the answer."""
        self.writer.write(request)
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await self.reader.readexactly(int(length))
        return int(head[9:12])


async def _close(
    url: httpx2.URL, requests: list[bytes], clients: int, seconds: float
) -> dict[str, Any]:
    outcomes: list[tuple[int, float]] = []
    deadline = time.monotonic() + seconds

    async def client(number: int) -> None:
        connection = await _Connection.open(url)
        turn = number
        while time.monotonic() < deadline:
            began = time.monotonic()
            status = await connection.ask(requests[turn % len(requests)])
            outcomes.append((status, time.monotonic() - began))
            turn += clients
        connection.writer.close()

    began = time.monotonic()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return _summary(outcomes, time.monotonic() - began)


async def _open(
    url: httpx2.URL, requests: list[bytes], per_second: float, seconds: float
) -> dict[str, Any]:
    outcomes: list[tuple[int, float]] = []
    idle: list[_Connection] = []
    under_way = set[asyncio.Task[None]]()
    rng = random.Random(0)

    async def ask(request: bytes, due: float) -> None:
        status = _NO_ANSWER
        try:
            async with asyncio.timeout(_MOST_SECONDS):
                connection = idle.pop() if idle else await _Connection.open(url)
                status = await connection.ask(request)
                idle.append(connection)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            pass  # it counts as not answered
        outcomes.append((status, time.monotonic() - due))

    began = due = time.monotonic()
    turn = num_not_sent = 0
    while due < began + seconds:
        due += rng.expovariate(per_second)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if len(under_way) < _MOST_CONNECTIONS:
            task = asyncio.create_task(ask(requests[turn % len(requests)], due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            turn += 1
        else:
            num_not_sent += 1
    await asyncio.gather(*under_way)
    return {
        "offered_per_second": (turn + num_not_sent) / seconds,
        "not_sent": num_not_sent,
        **_summary(outcomes, time.monotonic() - began),
        **_quantiles(outcomes, 429, "_of_429"),
    }


def _summary(outcomes: list[tuple[int, float]], seconds: float) -> dict[str, Any]:
    statuses = Counter(str(status) for status, _ in outcomes)
    return {
        "per_second": statuses["200"] / seconds,
        **_quantiles(outcomes, 200),
        "statuses": dict(statuses),
    }


def _quantiles(
    outcomes: list[tuple[int, float]], wanted: int, suffix: str = ""
) -> dict[str, float]:
    found = sorted(latency for status, latency in outcomes if status == wanted)
    return {
        f"p{q}_ms{suffix}": 1000 * found[min(len(found) - 1, len(found) * q // 100)]
        for q in (50, 99)
        if found
    }
