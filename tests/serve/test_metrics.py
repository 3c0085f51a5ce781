import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import grpc
import httpx2
import pytest
import ray

from serve import ocr_pb2, ocr_pb2_grpc

Picture = Callable[..., bytes]
DASHBOARD = Path(__file__).parents[2] / "cluster" / "grafana" / "serving.json"


def test_what_the_dashboard_shows_is_exported(
    client: httpx2.Client,
    word_picture: Picture,
    page_picture: Picture,
    wait_until: Callable[..., float],
) -> None:
    client.post("/v1/recognize", content=word_picture())
    client.post("/v1/ocr", content=page_picture("HOTEL"))
    client.post("/v1/ocr", content=b"no picture")
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    wanted = {name for query in queries for name in re.findall(r"ray_ocr_\w+", query)}
    assert len(wanted) > 10
    exported: set[str] = set()

    def is_complete() -> bool:
        exported.update(re.findall(r"^(ray_ocr_\w+)", _exported(), re.MULTILINE))
        return wanted <= exported

    wait_until(is_complete, 60)


def test_pages_of_a_caller_who_went_away_are_not_read(
    client: httpx2.Client, page_picture: Picture, wait_until: Callable[..., float]
) -> None:
    page = page_picture(*["of nobody who is still there"] * 12)
    scan = client.post("/v1/ocr", params={"format": "pdf"}, content=page).content
    wait_until(lambda: _count("ray_ocr_pages_total", 'outcome="read"') > 0, 60)
    client.post("/v1/ocr", content=page_picture("first"))
    gone, read = _gone(), _count_when_still(wait_until)
    with pytest.raises(httpx2.ReadTimeout):
        client.post("/v1/ocr", content=scan, timeout=0.1)
    wait_until(lambda: _gone() > gone, 60)
    client.post("/v1/ocr", content=page_picture("last"))
    assert _count_when_still(wait_until) == read + 1


def test_requests_over_grpc_and_who_has_used_a_token_up_are_counted(
    client: httpx2.Client,
    grpc_address: str,
    tokens: dict[str, str],
    word_picture: Picture,
    wait_until: Callable[..., float],
) -> None:
    metadata = [("application", "ocr"), ("authorization", f"Bearer {tokens['rarely']}")]
    request = ocr_pb2.RecognizeRequest(images=[word_picture()])
    with grpc.insecure_channel(grpc_address) as channel:
        stub = ocr_pb2_grpc.OCRStub(channel)
        for _ in range(3):
            with suppress(grpc.RpcError):
                stub.Recognize(request, metadata=metadata, timeout=60)
    headers = {"Authorization": f"Bearer {tokens['rarely']}"}
    response = client.post("/v1/recognize", content=word_picture(), headers=headers)
    assert response.status_code == 429

    def count(route: str) -> float:
        return _count(
            "ray_ocr_requests_total", 'caller="rarely"', f'route="{route}"', 'status="429"'
        )

    wait_until(lambda: count("/ocr.OCR/Recognize") > 0 and count("/v1/recognize") > 0, 60)


def _gone() -> float:
    return _count("ray_ocr_requests_total", 'status="499"')


def _count_when_still(wait_until: Callable[..., float]) -> float:
    """Return how many pages have been read, when that has stopped to rise."""
    former = [-1.0, -2.0, -3.0]

    def is_still() -> bool:
        time.sleep(1)
        former[:] = [_count("ray_ocr_pages_total", 'outcome="read"'), *former[:2]]
        return len(set(former)) == 1

    wait_until(is_still, 60)
    return former[0]


def _count(counter: str, *tags: str) -> float:
    """Return a counter's sum over all series with these tags."""
    lines = [
        line
        for line in _exported().splitlines()
        if line.startswith(counter) and all(tag in line for tag in tags)
    ]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def _exported() -> str:
    port = ray.nodes()[0]["MetricsExportPort"]
    return httpx2.get(f"http://127.0.0.1:{port}/metrics").text
