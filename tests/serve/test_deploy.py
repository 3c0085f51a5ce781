"""The file that the README names, started as the README says."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import yaml

_ROOT = Path(__file__).parents[2]
_STOP_SECONDS = 120
_LARGE = 5_000_000  # bytes of a picture


@pytest.fixture
def ports(free_port: Callable[[], int], tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Run `serve run` with `deploy.yaml`; its port, and that of the ingress's replica itself."""
    port, direct_port = free_port(), free_port()
    file = yaml.safe_load((_ROOT / "serve" / "deploy.yaml").read_text())
    file["http_options"]["port"] = port
    copy = tmp_path / "deploy.yaml"
    copy.write_text(yaml.safe_dump(file))
    environment = {
        "RAY_ADDRESS": "local",  # a cluster of its own
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(direct_port),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(direct_port + 1),
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0",
    }
    # What a shell runs in the background ignores Ctrl-C, and so would its children.
    heeding = ["env", "--default-signal=INT"]
    command = [*heeding, Path(sys.executable).with_name("serve"), "run", copy]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=_ROOT, env=os.environ | environment, stdout=log, stderr=log
        )
        yield port, direct_port
        process.send_signal(signal.SIGINT)
        process.wait(_STOP_SECONDS)


def test_it_runs_and_where_ray_is_told_so_its_ingress_answers_by_itself(
    ports: tuple[int, int],
    word_picture: Callable[..., bytes],
    page_picture: Callable[..., bytes],
    wait_until: Callable[..., float],
) -> None:
    proxy, direct = (f"http://127.0.0.1:{port}" for port in ports)
    wait_until(lambda: _is_ready(proxy) and _is_ready(direct))
    for address in (proxy, direct):
        with httpx2.Client(base_url=address, timeout=60) as client:
            answer = client.post("/v1/recognize", content=word_picture("Hotel"))
            assert [word["text"] for word in answer.json()["words"]] == ["Hotel"]
            assert "Content-Security-Policy" in answer.headers
            large = page_picture("Grand Hotel").ljust(_LARGE, b"\0")
            answer = client.post("/v1/ocr", content=large, params={"format": "text"})
            assert answer.text.split() == ["Grand", "Hotel"]
            refusal = client.post("/v1/recognize", content=b"")
            assert refusal.status_code == 422
            assert refusal.headers["content-type"] == "application/problem+json"
            assert client.get("/").headers["content-type"].startswith("text/html")


def _is_ready(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/readyz").status_code == 200
    except httpx2.TransportError:  # nobody listens yet
        return False
