"""What the service bears: closed loops of clients in a process of their own, against one process.

    uv run tests/benchmarks/serve_load.py --set clients=[1,8,64] words_per_request=8

Starts the application on a free port, and prints a line of JSON for each measurement: the reader in
one process with ideal batches, then the service at each number of clients, then Tesseract behind a
minimal FastAPI app where its program is installed. `share` is the service's words by the reader's.
"""

import asyncio
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import cv2
import httpx2
import numpy as np
import pyarrow.parquet as pq
import ray
import uvicorn
from fastapi import FastAPI, Request
from pydantic import PositiveFloat, PositiveInt
from ray import serve

from ocr_model import PageReader
from ocr_model.config import Config, parse_command_line
from ocr_model.data.synthetic.renderer import WordRenderer
from ocr_model.data.synthetic.stages import RendererConfig
from serve.app import build

_BATCHES = "ray_ocr_batches_total"
_PER_BATCH = {
    "mean_batch_words": "ray_ocr_words_total",
    "mean_batch_fill": "ray_ocr_filled_batches_total",
    "mean_batch_seconds": "ray_ocr_batch_busy_seconds_total",
}


class LoadConfig(Config):
    """What is measured."""

    verb: Literal["recognize", "ocr"] = "recognize"
    clients: tuple[PositiveInt, ...] = (1, 8, 64)
    """Each sends its next request when it has its answer."""
    seconds: PositiveFloat = 10.0
    """Of each measurement."""
    words_per_request: PositiveInt = 1
    """Of `recognize`."""
    words: str | None = None
    """Parquet file with a column `image`, of words or of pages; null: rendered ones."""
    max_requests: PositiveInt = 128
    """That the service takes at a time."""
    batch_words: PositiveInt = 8
    replicas: PositiveInt = 1
    """Of `words`, and of `pages`."""
    tesseract: bool = True


def main(config: LoadConfig) -> None:
    pictures = _pictures(config)
    alone = _one_process(config, pictures)
    _tell("one process", 0, alone)
    with _service(config) as (address, metrics_address):
        requests = _requests(config, pictures, address)
        _load(address, requests[:4], 1, 2.0)  # the first ones are slow
        for clients in config.clients:
            before = _counters(metrics_address)
            result = _load(address, requests, clients, config.seconds)
            time.sleep(2.5)  # metrics are sent every second
            result |= _batch_means(before, _counters(metrics_address))
            result["share"] = result["per_second"] * config.words_per_request / alone["per_second"]
            _tell("service", clients, result)
    if config.tesseract and shutil.which("tesseract"):
        with _tesseract() as address:
            requests = _requests(config, pictures, address, is_raw=True)
            for clients in config.clients:
                _tell("tesseract", clients, _load(address, requests, clients, config.seconds))


def _tell(what: str, clients: int, result: dict[str, Any]) -> None:
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in result.items()}
    print(json.dumps({"what": what, "clients": clients, **rounded}), flush=True)


def _pictures(config: LoadConfig) -> list[bytes]:
    if config.words is not None:
        column = pq.read_table(config.words, columns=["image"])["image"].slice(0, 512).to_pylist()
        return [image if isinstance(image, bytes) else image["bytes"] for image in column]
    if config.verb == "ocr":
        return [_page(number) for number in range(8)]
    renderer = WordRenderer(RendererConfig())
    words = [f"word{number}" for number in range(256)]
    pixels = [renderer.render(w, np.random.default_rng(i)).pixels for i, w in enumerate(words)]
    return [cv2.imencode(".jpg", p[..., ::-1])[1].tobytes() for p in pixels]


def _page(number: int) -> bytes:
    pixels = np.full((600, 800, 3), 255, np.uint8)
    for line in range(8):
        place = (40, 60 + 65 * line)
        cv2.putText(
            pixels, f"Line {line} of page {number}", place, cv2.FONT_HERSHEY_DUPLEX, 1, 0, 2
        )
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def _one_process(config: LoadConfig, pictures: list[bytes]) -> dict[str, Any]:
    """Read as fast as one process can; per second are words, or pages."""
    reader = PageReader.load()
    read: Callable[[], object]
    if config.verb == "recognize":
        read = lambda: reader.recognizer.read(pictures, batch_size=config.batch_words)  # noqa: E731
    else:
        read = lambda: list(reader.read_all(pictures))  # noqa: E731
    read()
    began, num_read = time.monotonic(), 0
    while time.monotonic() - began < config.seconds:
        read()
        num_read += len(pictures)
    return {"per_second": num_read / (time.monotonic() - began)}


@contextmanager
def _service(config: LoadConfig) -> Iterator[tuple[str, str]]:
    os.environ.update(
        RAY_AUTH_MODE="disabled",
        RAY_USAGE_STATS_ENABLED="0",
        RAY_ENABLE_UV_RUN_RUNTIME_ENV="0",
        RAY_metrics_report_interval_ms="1000",
        OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", "1"),  # as Ray does; two would wait
    )
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    port = _free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    replicas = {"min_replicas": config.replicas, "max_replicas": config.replicas}
    args = {
        "words": {
            "batch_words": config.batch_words,
            "calls_under_way": 2 * config.replicas,
            **replicas,
        },
        "pages": replicas,
        "limits": {"max_requests": config.max_requests},
        "log_level": "WARNING",
    }
    serve.run(build(args), name="ocr", route_prefix="/")
    yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}"
    serve.shutdown()
    ray.shutdown()


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def _counters(address: str) -> Counter[str]:
    """Return the sums over replicas of the counters of batches."""
    found: Counter[str] = Counter()
    for line in httpx2.get(f"{address}/metrics").text.splitlines():
        series, _, value = line.rpartition(" ")
        found[series.partition("{")[0]] += 0 if line.startswith("#") else float(value)
    return found


def _batch_means(before: Counter[str], after: Counter[str]) -> dict[str, float]:
    num_batches = max(1, after[_BATCHES] - before[_BATCHES])
    return {
        name: (after[series] - before[series]) / num_batches for name, series in _PER_BATCH.items()
    }


def _requests(
    config: LoadConfig, pictures: list[bytes], address: str, *, is_raw: bool = False
) -> list[bytes]:
    """Encode requests beforehand: the load must not cost what it measures."""
    url, num = f"{address}/v1/{config.verb}", config.words_per_request
    built = []
    for start in range(0, len(pictures), num):
        some = (pictures * 2)[start : start + num]
        if num == 1 or is_raw or config.verb == "ocr":
            request = httpx2.Request("POST", url, content=some[0])
        else:
            files = [("file", (str(number), data)) for number, data in enumerate(some)]
            request = httpx2.Request("POST", url, files=files)
        head = b"".join(k + b": " + v + b"\r\n" for k, v in request.headers.raw)
        path = request.url.raw_path
        built.append(b"POST " + path + b" HTTP/1.1\r\n" + head + b"\r\n" + request.read())
    return built


def _load(address: str, requests: list[bytes], clients: int, seconds: float) -> dict[str, Any]:
    """Run a closed loop in another process."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_run_loop, (address, requests, clients, seconds))


def _run_loop(address: str, requests: list[bytes], clients: int, seconds: float) -> dict[str, Any]:
    return asyncio.run(_closed_loop(httpx2.URL(address), requests, clients, seconds))


async def _closed_loop(
    url: httpx2.URL, requests: list[bytes], clients: int, seconds: float
) -> dict[str, Any]:
    outcomes: list[tuple[int, float]] = []
    deadline = time.monotonic() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection(url.host, url.port)
        turn = number
        while time.monotonic() < deadline:
            began = time.monotonic()
            writer.write(requests[turn % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            outcomes.append((int(head[9:12]), time.monotonic() - began))
            turn += clients
        writer.close()

    began = time.monotonic()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return _summary(outcomes, time.monotonic() - began)


def _summary(outcomes: list[tuple[int, float]], seconds: float) -> dict[str, Any]:
    accepted = sorted(latency for status, latency in outcomes if status == 200)
    quantiles = {
        f"p{q}_ms": 1000 * accepted[min(len(accepted) - 1, len(accepted) * q // 100)]
        for q in (50, 99)
        if accepted
    }
    statuses = {str(status): count for status, count in Counter(s for s, _ in outcomes).items()}
    return {"per_second": len(accepted) / seconds, **quantiles, "statuses": statuses}


@contextmanager
def _tesseract() -> Iterator[str]:
    app = FastAPI()

    @app.post("/{path:path}")
    async def read(request: Request, path: str) -> dict[str, str]:
        mode = "8" if path.endswith("recognize") else "3"
        picture = await request.body()
        command = ["tesseract", "stdin", "stdout", "--psm", mode]
        done = await asyncio.to_thread(
            subprocess.run, command, input=picture, capture_output=True, check=False
        )
        return {"text": done.stdout.decode()}

    port = _free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


if __name__ == "__main__":
    main(parse_command_line(LoadConfig, __doc__ or ""))
