"""Loads of HTTP requests, each from a process of its own: they must not cost what they measure.

Closed loops are those of `wrk` (Debian's package of that name). It sends nothing by chance, so open
loops are here.
"""

import asyncio
import json
import multiprocessing
import random
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

_MOST_CONNECTIONS = 512
_MOST_SECONDS = 120.0  # of a request
_NO_ANSWER = 0  # in place of a status
_IN_TURN = Path(__file__).with_name("requests_in_turn.lua")


def require_wrk() -> None:
    """Stop before anything is measured where there is no `wrk`.

    Raises:
        SystemExit: It is not installed.
    """
    if not shutil.which("wrk"):
        raise SystemExit("wrk, which sends the requests, is not installed: apt install wrk")


def closed_loop(address: str, requests: list[bytes], clients: int, seconds: int) -> dict[str, Any]:
    """Let clients send requests in turn, each its next one when it has its answer.

    What is under way at the end does not count: let `seconds` be many times what a request takes.

    Returns:
        Accepted requests `per_second`, the `p50_ms` and `p99_ms` of all, and how often each of the
        `statuses` came; 0 is that of what broke or took two minutes.
    """
    with TemporaryDirectory() as folder:
        for number, request in enumerate(requests):
            (Path(folder) / str(number)).write_bytes(request)
        load = ["--threads=1", f"--connections={clients}", f"--duration={seconds}s"]
        load += [f"--timeout={_MOST_SECONDS:.0f}s", f"--script={_IN_TURN}", address]
        command = ["wrk", *load, "--", folder, str(len(requests))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {"per_second": result["statuses"].get("200", 0) / result.pop("seconds"), **result}


def open_loop(
    address: str, requests: list[bytes], per_second: float, seconds: float
) -> dict[str, Any]:
    """Send requests that come by chance (Poisson), whether answers come or not.

    Latencies count from when a request was due. Also tells how many were `offered_per_second`, the
    `p99_ms_of_429` of those that were refused, and how many were `not_sent`, as 512 were under way.
    What broke or took two minutes has the status 0.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result: dict[str, Any] = pool.apply(_run, (address, requests, per_second, seconds))
        return result


def _run(address: str, requests: list[bytes], per_second: float, seconds: float) -> dict[str, Any]:
    return asyncio.run(_open(httpx2.URL(address), requests, per_second, seconds))


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
