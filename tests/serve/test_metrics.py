import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx2
import ray

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
    port = ray.nodes()[0]["MetricsExportPort"]
    exported: set[str] = set()

    def is_complete() -> bool:
        text = httpx2.get(f"http://127.0.0.1:{port}/metrics").text
        exported.update(re.findall(r"^(ray_ocr_\w+)", text, re.MULTILINE))
        return wanted <= exported

    wait_until(is_complete, 60)
