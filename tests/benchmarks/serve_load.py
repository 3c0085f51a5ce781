"""What the service bears: clients in a process of their own, against the reader in one process.

    uv run --with rapidocr-onnxruntime tests/benchmarks/serve_load.py --set words_per_request=8 \
        others='[tesseract, rapidocr]'

Needs `wrk` (`apt install wrk`). Starts the application on a free port, and prints a line of JSON
for each measurement: the reader in one process with ideal batches; the service with each number of
clients, of which each waits for its answer; the service with requests that come by chance, at
shares of the most that it answered; the reader once more, as machines change their pace; then each
of `others` behind a minimal FastAPI app. `share` is the service's words by the reader's (the mean
of both times), `share_of_calls` by the reader's in calls of as many as so many clients have under
way, which no batch can be larger than; `of_service_time` is a p99 by the median answer to a lone
client, `of_median` by that at the same load.
"""

import io
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import mean
from typing import Any, Literal

import cv2
import httpx2
import numpy as np
import pyarrow.parquet as pq
import ray
from load_loops import closed_loop, open_loop, require_wrk
from load_rivals import RIVALS, behind_fastapi, free_port
from PIL import Image
from pydantic import PositiveFloat, PositiveInt
from ray import serve

from ocr_model import PageReader
from ocr_model.config import Config
from ocr_model.data.synthetic.renderer import WordRenderer
from ocr_model.data.synthetic.stages import RendererConfig
from ocr_model.entry_points import parse_command_line
from serve.app import build

_BATCHES = "ray_ocr_batches_total"
_REPORT_SECONDS = 4.0  # from one report of metrics to the next, which take a core's time
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
    arrivals: tuple[PositiveFloat, ...] = (0.7, 2.0)
    """Requests that come by chance, as shares of the most that were answered."""
    seconds: PositiveInt = 20
    """Of each measurement: many times what a request takes."""
    words_per_request: PositiveInt = 1
    """Of `recognize`."""
    pages_per_request: PositiveInt = 1
    """Of `ocr`: a document of so many."""
    words: str | None = None
    """Parquet file with a column `image`, of words or of pages; null: rendered ones."""
    max_requests: PositiveInt = 128
    """That the service takes at a time."""
    batch_words: PositiveInt = 48
    replicas: PositiveInt = 1
    """Of `words`, and of `pages`."""
    is_direct: bool = False
    """Ask the ingress's replica itself instead of Ray's proxy (RAY_SERVE_ENABLE_DIRECT_INGRESS)."""
    others: tuple[Literal["tesseract", "rapidocr"], ...] = ("tesseract",)
    """What is measured beside it."""

    @property
    def num_files(self) -> int:
        """Return how many files a request has: words, or one document."""
        return self.words_per_request if self.verb == "recognize" else 1

    @property
    def num_pages(self) -> int:
        """Return how many pages a file has; a word counts as one."""
        return self.pages_per_request if self.verb == "ocr" else 1


def main(config: LoadConfig) -> None:
    require_wrk()
    if "tesseract" in config.others and not shutil.which("tesseract"):
        raise SystemExit("others has tesseract, which is not installed")
    pictures = pictures_of(config)
    rates_before = _in_one_process(config, pictures)
    results = _ask_the_service(config, pictures)
    rates_after = _in_one_process(config, pictures)
    alone = {calls: mean([rates_before[calls], rates_after[calls]]) for calls in rates_before}
    for clients, result in results.items():
        per_second = result["per_second"] * config.num_files * config.num_pages
        shares = {"share": per_second / max(alone.values())}
        _tell("shares", clients, {**shares, "share_of_calls": per_second / alone[clients]})
    for other in config.others:
        with behind_fastapi(RIVALS[other](config.verb)) as address:
            requests = requests_of(config, pictures, address, is_raw=True)
            for clients in config.clients:
                _tell(other, clients, closed_loop(address, requests, clients, config.seconds))


def _ask_the_service(config: LoadConfig, pictures: list[bytes]) -> dict[int, dict[str, Any]]:
    """Return what the closed loops came to, by their clients; tell them and the open ones."""
    results: dict[int, dict[str, Any]] = {}
    with service(config) as (address, metrics_address):
        requests = requests_of(config, pictures, address)
        closed_loop(address, requests[:4], 1, 2)  # the first ones are slow
        for clients in config.clients:
            before = _counters(metrics_address)
            results[clients] = closed_loop(address, requests, clients, config.seconds)
            time.sleep(2.5 * _REPORT_SECONDS)
            results[clients] |= _batch_means(before, _counters(metrics_address))
            _tell("service", clients, results[clients])
        most = max(result["per_second"] for result in results.values())
        for share in config.arrivals:
            result = open_loop(address, requests, share * most, config.seconds)
            if "p99_ms" in result:
                result["of_median"] = result["p99_ms"] / result["p50_ms"]
            if "p99_ms" in result and 1 in results:
                result["of_service_time"] = result["p99_ms"] / results[1]["p50_ms"]
            _tell(f"service at {share:g} of its most", 0, result)
    return results


def _tell(what: str, clients: int, result: dict[str, Any]) -> None:
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in result.items()}
    print(json.dumps({"what": what, "clients": clients, **rounded}), flush=True)


def pictures_of(config: LoadConfig) -> list[bytes]:
    """Return words, or documents of as many pages as asked for."""
    pictures = _given(config.words) if config.words else _drawn(config.verb)
    if config.num_pages == 1:
        return pictures
    starts = range(0, len(pictures) - config.num_pages + 1, config.num_pages)
    return [_document(pictures[start : start + config.num_pages]) for start in starts]


def _given(parquet: str) -> list[bytes]:
    column = pq.read_table(parquet, columns=["image"])["image"].slice(0, 512).to_pylist()
    return [image if isinstance(image, bytes) else image["bytes"] for image in column]


def _document(pages: list[bytes]) -> bytes:
    first, *others = (Image.open(io.BytesIO(page)).convert("RGB") for page in pages)
    document = io.BytesIO()
    first.save(document, "TIFF", save_all=True, append_images=others, compression="tiff_lzw")
    return document.getvalue()


def _drawn(verb: str) -> list[bytes]:
    if verb == "ocr":
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


def _in_one_process(config: LoadConfig, pictures: list[bytes]) -> dict[int, float]:
    """Read as fast as one process can, in calls of what so many clients have under way, or of all.

    Returns:
        Words or pages per second, by the number of clients, 0 for all.
    """
    reader = PageReader.load()

    def read(some: list[bytes]) -> object:
        if config.verb == "recognize":
            return reader.recognizer.read(some, batch_size=config.batch_words)
        return list(reader.read_all(some))

    sizes = {n: min(n * config.num_files, len(pictures)) for n in config.clients}
    rates = {}
    for clients, size in {0: len(pictures), **sizes}.items():
        calls = [pictures[start : start + size] for start in range(0, len(pictures), size)]
        read(calls[0])
        began, num_read = time.monotonic(), 0
        while time.monotonic() - began < config.seconds:
            for call in calls:
                read(call)
                num_read += len(call) * config.num_pages
        rates[clients] = num_read / (time.monotonic() - began)
        _tell("one process", clients, {"per_second": rates[clients]})
    return rates


@contextmanager
def service(config: LoadConfig) -> Iterator[tuple[str, str]]:
    os.environ.update(
        RAY_AUTH_MODE="disabled",
        RAY_USAGE_STATS_ENABLED="0",
        RAY_ENABLE_UV_RUN_RUNTIME_ENV="0",
        RAY_metrics_report_interval_ms=str(int(1000 * _REPORT_SECONDS)),
        OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS", "1"),  # as Ray does; two would wait
    )
    port, direct_port = free_port(), free_port()
    if config.is_direct:
        os.environ.update(
            RAY_SERVE_ENABLE_DIRECT_INGRESS="1",
            RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S="1",
            RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT=str(direct_port),
            RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT=str(direct_port + 1),
        )
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    replicas = {"min_replicas": config.replicas, "max_replicas": config.replicas}
    args = {
        "words": {"batch_words": config.batch_words, **replicas},
        "pages": replicas,
        "limits": {"max_requests": config.max_requests},
        "log_level": "WARNING",
    }
    serve.run(build(args), name="ocr", route_prefix="/")
    port = direct_port if config.is_direct else port
    yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}"
    serve.shutdown()
    ray.shutdown()


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


def requests_of(
    config: LoadConfig, pictures: list[bytes], address: str, *, is_raw: bool = False
) -> list[bytes]:
    """Encode requests beforehand: the load must not cost what it measures."""
    url, num = f"{address}/v1/{config.verb}", config.num_files
    built = []
    for start in range(0, len(pictures), num):
        some = (pictures * 2)[start : start + num]
        if num == 1 or is_raw:
            request = httpx2.Request("POST", url, content=some[0])
        else:
            files = [("file", (str(number), data)) for number, data in enumerate(some)]
            request = httpx2.Request("POST", url, files=files)
        head = b"".join(k + b": " + v + b"\r\n" for k, v in request.headers.raw)
        path = request.url.raw_path
        built.append(b"POST " + path + b" HTTP/1.1\r\n" + head + b"\r\n" + request.read())
    return built


if __name__ == "__main__":
    main(parse_command_line(LoadConfig, __doc__ or ""))
