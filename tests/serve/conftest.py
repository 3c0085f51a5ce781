"""One application of Ray Serve for all tests of the HTTP interface."""

import io
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import httpx2
import numpy as np
import pytest
from PIL import Image
from ray import serve

from ocr_model import PageReader
from serve.app import build

_START_SECONDS = 240

Picture = Callable[..., bytes]


@pytest.fixture(scope="session")
def word_picture() -> Picture:
    """Return a function of a text: that word in print, as PNG."""

    def draw(text: str = "Hotel") -> bytes:
        pixels = np.full((48, 30 + 22 * len(text), 3), 255, np.uint8)
        cv2.putText(pixels, text, (12, 34), cv2.FONT_HERSHEY_DUPLEX, 1.0, (0, 0, 0), 2)
        return _png(pixels)

    return draw


@pytest.fixture(scope="session")
def page_picture() -> Picture:
    """Return a function of lines: a page of them, as PNG."""

    def draw(*lines: str) -> bytes:
        pixels = np.full((80 * len(lines) + 60, 700, 3), 255, np.uint8)
        for number, line in enumerate(lines, 1):
            place = (40, 80 * number)
            cv2.putText(pixels, line, place, cv2.FONT_HERSHEY_DUPLEX, 1.4, (0, 0, 0), 2)
        return _png(pixels)

    return draw


@pytest.fixture(scope="session")
def reader() -> PageReader:
    """The same models in this process: the service must read as they do."""
    return PageReader.load()


@pytest.fixture(scope="session")
def app_args() -> dict[str, Any]:
    """Settings of the application: bounds that tests can reach."""
    return {
        "models": {"compact": {"bundle": "compact"}, "other": {"bundle": "compact-synthetic"}},
        "default_model": "compact",
        "ingress": {"num_cpus": 0.2},
        "limits": {
            "max_body_bytes": 3_000_000,
            "max_body_seconds": 2,
            "max_image_pixels": 4_000_000,
            "max_pages": 3,
            "max_words": 20,
            "max_requests": 24,
        },
    }


@pytest.fixture(scope="session")
def deploy(ray_cluster: None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Return a function of settings that makes them those of the running application."""
    serve.start(http_options={"host": "127.0.0.1", "port": _free_port()})

    def run(args: dict[str, Any]) -> None:
        serve.run(build(args), name="ocr", route_prefix="/")

    yield run
    serve.shutdown()


@pytest.fixture(scope="session")
def address(deploy: Callable[[dict[str, Any]], None], app_args: dict[str, Any]) -> str:
    """Where the application listens."""
    deploy(app_args)
    from ray.serve.context import _get_global_client  # noqa: PLC0415  # there is one only now

    client = _get_global_client()
    assert client is not None
    return f"http://127.0.0.1:{client.http_config.port}"


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., float]:
    """Return a function that waits until something is so, and returns how long that took."""

    def wait(is_so: Callable[[], bool], seconds: float = _START_SECONDS) -> float:
        began = time.monotonic()
        while not is_so():
            assert time.monotonic() - began < seconds, "it did not come to be"
            time.sleep(0.05)
        return time.monotonic() - began

    return wait


@pytest.fixture
def client(address: str, wait_until: Callable[..., float]) -> Iterator[httpx2.Client]:
    """A client of the application, which is ready."""
    with httpx2.Client(base_url=address, timeout=120) as opened:
        wait_until(lambda: opened.get("/readyz").status_code == 200)
        yield opened


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])
