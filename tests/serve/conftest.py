"""One application of Ray Serve for all tests of the HTTP interface."""

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import httpx2
import numpy as np
import pytest
import yaml
from PIL import Image
from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ServeDeploySchema

from ocr_model import PageReader

_DEPLOY = Path(__file__).parents[2] / "serve" / "deploy.yaml"
_START_SECONDS = 240
_LIMITS = {  # that tests can reach
    "max_body_bytes": 3_000_000,
    "max_body_seconds": 8,  # 60 uploads at once take a slow machine a second or two
    "max_image_pixels": 4_000_000,
    "max_pages": 3,
    "max_words": 20,
    "max_requests": 24,
}
_PAGES = {  # the same
    "reading": {"documents": {"pdf_bounds": {"page_seconds": 3, "memory_bytes": 2**28}}},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/serve/test_fuzz.py --fuzz-times 13`; in a run of all tests it is 1."""
    parser.addoption("--fuzz-times", type=int, default=1, help="as many times as many requests")


_TOKENS = {"tests": "open sesame", "rarely": "once in a while"}
_ACCESS = {
    "tokens": [
        {"name": name, "sha256": hashlib.sha256(token.encode()).hexdigest()}
        for name, token in _TOKENS.items()
    ]
}
_ACCESS["tokens"][1] |= {"requests_per_minute": 1, "burst": 2}  # type: ignore[dict-item]

Picture = Callable[..., bytes]
Deploy = Callable[[dict[str, Any]], None]


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
def models() -> dict[str, Any]:
    """The models of the application: the one in the box, and another."""
    return {
        "models": {"compact": {"bundle": "compact"}, "other": {"bundle": "compact-synthetic"}},
        "default_model": "compact",
    }


@pytest.fixture(scope="session")
def grpc_port(free_port: Callable[[], int]) -> int:
    """Where the application listens for gRPC."""
    return free_port()


@pytest.fixture(scope="session")
def deploy(ray_cluster: None, free_port: Callable[[], int], grpc_port: int) -> Iterator[Deploy]:
    """Return a function of models that deploys them, as `serve deploy` does a file."""
    servicers = ["serve.ocr_pb2_grpc.add_OCRServicer_to_server"]
    serve.start(
        http_options={"host": "127.0.0.1", "port": free_port()},
        grpc_options={"port": grpc_port, "grpc_servicer_functions": servicers},
        controller_options=yaml.safe_load(_DEPLOY.read_text())["controller_options"],
    )

    def run(models: dict[str, Any]) -> None:
        application = {
            "name": "ocr",
            "route_prefix": "/",
            "import_path": "serve.app:build",
            "args": {"limits": _LIMITS, "access": _ACCESS, "pages": _PAGES},
            "deployments": [{"name": "words", "user_config": models}],
        }
        schema = ServeDeploySchema.model_validate({"applications": [application]})
        _serve_client().deploy_apps(schema)  # blocking, it would give up after a minute

    yield run
    serve.shutdown()


@pytest.fixture(scope="session")
def tokens() -> dict[str, str]:
    """Tokens by the names of their callers: `tests`, and `rarely`, who has two requests."""
    return _TOKENS


@pytest.fixture(scope="session")
def grpc_address(address: str, grpc_port: int) -> str:
    """The same for gRPC, once the application runs."""
    assert address
    return f"127.0.0.1:{grpc_port}"


@pytest.fixture(scope="session")
def address(deploy: Deploy, models: dict[str, Any]) -> str:
    """Where the application listens."""
    deploy(models)
    return f"http://127.0.0.1:{_serve_client().http_config.port}"


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
    headers = {"Authorization": f"Bearer {_TOKENS['tests']}"}
    with httpx2.Client(base_url=address, timeout=120, headers=headers) as opened:
        wait_until(lambda: _is_ready(opened))
        yield opened


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _is_ready(client: httpx2.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx2.TransportError:  # the proxy is not up yet
        return False


def _serve_client() -> Any:  # noqa: ANN401  # Ray's own, of no public type
    client = _get_global_client()
    assert client is not None
    return client
