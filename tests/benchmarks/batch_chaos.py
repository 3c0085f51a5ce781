"""Random SIGKILLs while a bucket is read: is every input in the output, once, and read the same?

    uv run tests/benchmarks/batch_chaos.py --set num_images=300 kills=20

Words are taken out of Parquet files or rendered, 3 % of them poisoned in 12 ways, and put into an
S3 (moto_server, a process of its own). One run is left alone. Another loses drivers, workers and,
with `nodes`, machines of a cluster, at moments that depend on `seed` and on how far it is; then the
same command is run to its end. Prints one JSON object, and fails where the rows are not those of
the first run.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import NonNegativeInt, PositiveInt

from ocr_model.config import Config
from ocr_model.data.synthetic.renderer import WordRenderer
from ocr_model.data.synthetic.stages import RendererConfig
from ocr_model.entry_points import parse_command_line
from ocr_model.inference.bulk.places import Place, open_place

ROOT = Path(__file__).parents[2]
_POISONED = 33  # every so many-th image
_PNG_SIZE = slice(16, 24)


class ChaosConfig(Config):
    """What is read, and what is done to it."""

    num_images: PositiveInt = 300
    real: tuple[str, ...] = ()
    """Parquet files with a column `image`, which come before what is rendered."""
    unit_images: PositiveInt = 8
    kills: PositiveInt = 20
    nodes: NonNegativeInt = 1
    """Machines besides the head; 0: no cluster, each run starts a Ray of its own."""
    seed: int = 0


def main(config: ChaosConfig) -> None:
    """Read twice and compare."""
    with tempfile.TemporaryDirectory() as folder, _s3() as environment:
        os.environ.update(environment)
        _fill(open_place("s3://chaos/in"), config)
        with _cluster(config, environment) as nodes:
            log = Path(folder) / "log"
            command = [sys.executable, str(ROOT / "jobs" / "batch_ocr.py"), "--set", "mode=words"]
            command += ["input=s3://chaos/in", f"unit_images={config.unit_images}"]
            command += ["pool.fetchers=1"]
            began = time.monotonic()
            calm = _start([*command, "output=s3://chaos/calm"], log)
            assert calm.wait() == 0, log.read_text()
            seconds = time.monotonic() - began
            killed = _disturb([*command, "output=s3://chaos/out"], log, config, nodes)
            before = _rows("out").num_rows
            last = _start([*command, "output=s3://chaos/out"], log)
            assert last.wait() == 0, log.read_text()[-5_000:]
        expected, found = _rows("calm"), _rows("out")
    names = Counter(found["uri"].to_pylist())
    figures = {
        "inputs": config.num_images,
        "seconds_undisturbed": round(seconds, 1),
        "kills": dict(killed),
        "rows_before_the_last_run": before,
        "rows": found.num_rows,
        "missing": config.num_images - len(names),
        "doubled": sum(number - 1 for number in names.values()),
        "errors": dict(Counter(e.partition(":")[0] for e in found["error"].to_pylist() if e)),
        "identical": _told(expected) == _told(found),
    }
    print(json.dumps(figures))
    assert figures["identical"]


def _disturb(
    command: list[str], log: Path, config: ChaosConfig, nodes: list[Callable[[], None]]
) -> Counter[str]:
    """Kill something each time that some more units were written, until enough was killed."""
    rng = random.Random(config.seed)
    killed = Counter[str]()
    kinds = ["driver", "worker", *(["node"] if nodes else [])]
    driver, seen = _start(command, log), 0
    while killed.total() < config.kills:
        target = seen + rng.choice([0, 0, 1, 2])
        began = time.monotonic()
        while driver.poll() is None and (seen := _num_parts()) < target:
            time.sleep(0.2)
        if driver.poll() is None and target == seen:  # also before anything is written
            time.sleep(max(0.0, rng.uniform(0, 20) - (time.monotonic() - began)))
        if driver.poll() == 0:
            break
        kind = rng.choice(kinds)
        if kind == "worker" and not _kill_worker(driver, rng):
            kind = "driver"
        if kind == "node":
            nodes[0]()
        if kind == "driver":
            _end(driver)
        killed[kind] += 1
        if driver.poll() is not None:
            driver = _start(command, log)
    _end(driver)
    return killed


def _end(driver: psutil.Popen) -> None:
    with suppress(psutil.NoSuchProcess):  # it may have ended by itself
        driver.kill()
    driver.wait()


def _kill_worker(driver: psutil.Popen, rng: random.Random) -> bool:
    found, processes = [], set(psutil.Process().children(recursive=True))
    with suppress(psutil.NoSuchProcess):  # it may have ended meanwhile
        processes.update(driver.children(recursive=True))
    for process in processes:
        with suppress(psutil.Error):
            title = " ".join(process.cmdline())
            if title.startswith("ray::") and "IDLE" not in title:
                found.append(process)
    if not found:
        return False
    victim = rng.choice(sorted(found, key=lambda process: int(process.pid)))
    with suppress(psutil.Error):
        victim.send_signal(signal.SIGKILL)
    return True


def _start(command: list[str], log: Path) -> psutil.Popen:
    with log.open("ab") as file:
        return psutil.Popen(command, cwd=ROOT, stdout=file, stderr=file)


def _num_parts() -> int:
    return sum(1 for _ in open_place("s3://chaos/out").entries("rows"))


def _rows(output: str) -> pa.Table:
    place = open_place(f"s3://chaos/{output}")
    parts = [place.read(entry.key) for entry in place.entries("rows")]
    columns = ["uri", "member", "page", "error", "text"]
    return pa.concat_tables(pq.read_table(pa.BufferReader(part), columns=columns) for part in parts)


def _told(rows: pa.Table) -> list[tuple[Any, ...]]:
    return sorted(tuple(row.values()) for row in rows.to_pylist())


@contextmanager
def _s3() -> Iterator[dict[str, str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
    }
    server = subprocess.Popen(
        [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    try:
        making = urllib.request.Request(f"http://127.0.0.1:{port}/chaos", method="PUT")
        while server.poll() is None:
            with suppress(OSError):
                urllib.request.urlopen(making, timeout=10).close()
                break
            time.sleep(0.1)
        yield environment
    finally:
        server.kill()
        server.wait()


@contextmanager
def _cluster(
    config: ChaosConfig, environment: dict[str, str]
) -> Iterator[list[Callable[[], None]]]:
    """Give what replaces a machine by another, where there are machines."""
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="disabled")
    os.environ.update(RAY_raylet_start_wait_time_s="300")  # machines are busy while others die
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    if not config.nodes:
        yield []
        return
    from ray.cluster_utils import Cluster  # noqa: PLC0415  # Ray reads the environment

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    machines = [cluster.add_node(num_cpus=2) for _ in range(config.nodes)]
    os.environ["RAY_ADDRESS"] = cluster.address

    def replace() -> None:
        cluster.remove_node(machines.pop(0), allow_graceful=False)
        machines.append(cluster.add_node(num_cpus=2))

    try:
        yield [replace]
    finally:
        del os.environ["RAY_ADDRESS"]
        cluster.shutdown()


def _fill(place: Place, config: ChaosConfig) -> None:
    poisons = _poisons()
    for number, content in enumerate(islice(_words(config.real), config.num_images)):
        if number % _POISONED == 5:
            content = poisons[number // _POISONED % len(poisons)](content)
        place.write(f"{number % 10}/{number:06}.png", content)


def _words(real: tuple[str, ...]) -> Iterator[bytes]:
    """Give encoded pictures without end."""
    for path in real:
        yield from pq.read_table(path, columns=["image"])["image"].to_pylist()
    renderer = WordRenderer(RendererConfig())
    for number in count():
        rng = np.random.default_rng(number)
        word = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(3, 12)))
        _, encoded = cv2.imencode(".png", renderer.render(word, rng).pixels[..., ::-1])
        yield encoded.tobytes()


def _poisons() -> list[Callable[[bytes], bytes]]:
    """Return twelve ways to spoil a PNG."""
    rng = np.random.default_rng(0)
    large = (200_000).to_bytes(4, "big") * 2
    return [
        lambda png: b"",
        lambda png: b"this is no picture",
        lambda png: b"<html><body>404</body></html>",
        lambda png: png[: len(png) // 2],
        lambda png: png[:20],
        lambda png: png[: _PNG_SIZE.start] + large + png[_PNG_SIZE.stop :],
        lambda png: png[: _PNG_SIZE.start] + bytes(8) + png[_PNG_SIZE.stop :],
        lambda png: png[:60] + bytes(byte ^ 0x55 for byte in png[60:]),
        lambda png: _as(png, ".jpg")[:-40],
        lambda png: b"II*\0\x08\0\0\0\0\0\x08\0\0\0",  # a TIFF whose first page is its second
        lambda png: b"%PDF-1.7\n" + rng.bytes(200),
        lambda png: rng.bytes(1_000),
    ]


def _as(png: bytes, ending: str) -> bytes:
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    return cv2.imencode(ending, pixels)[1].tobytes()


if __name__ == "__main__":
    main(parse_command_line(ChaosConfig, __doc__ or ""))
