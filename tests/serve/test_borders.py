"""What comes in at the border, and what is told of it."""

import base64
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import ray

Picture = Callable[..., bytes]
TYPE = "urn:ocr-on-ray:problem:"


def test_a_form_in_a_charset_that_is_none_is_broken(client: httpx2.Client) -> None:
    part = b'Content-Disposition: form-data; name="file"; filename="\xe9"'
    form = b"--x\r\n" + part + b"\r\n\r\na\r\n--x--\r\n"
    kind = "multipart/form-data; boundary=x; charset=undefined"
    response = client.post("/v1/recognize", content=form, headers={"Content-Type": kind})
    assert (response.status_code, response.json()["type"]) == (422, f"{TYPE}bad-form")


def test_a_name_that_utf_8_cannot_have_does_not_end_a_stream(client: httpx2.Client) -> None:
    part = 'Content-Disposition: form-data; name="file"; filename="\\ud800"'
    form = f"--x\r\n{part}\r\n\r\na\r\n--x--\r\n".encode()
    headers = {
        "Content-Type": "multipart/form-data; boundary=x; charset=unicode_escape",
        "Accept": "application/x-ndjson",
    }
    response = client.post("/v1/ocr", content=form, headers=headers)
    assert json.loads(response.text)["name"] == "?"


def test_a_request_is_a_line_of_the_log_that_has_nothing_of_what_was_sent(
    client: httpx2.Client, word_picture: Picture, wait_until: Callable[..., float]
) -> None:
    files, query = {"file": ("geheim.png", word_picture("Zebra"))}, {"lexicon": ["Quagga", "Zebra"]}
    response = client.post("/v1/recognize", files=files, params=query)
    folder = Path(ray._private.worker._global_node.get_logs_dir_path()) / "serve"

    def logged(pattern: str) -> list[str]:
        paths = folder.glob(pattern)
        return [line for path in paths for line in path.read_text().splitlines()]

    def lines() -> list[str]:
        number = response.headers["x-request-id"]
        return [line for line in logged("replica_ocr_ingress*") if number in line]

    wait_until(lambda: bool(lines()), 30)
    (line,) = map(json.loads, lines())
    told = {name: line[name] for name in ("route", "status", "caller", "problem")}
    assert told == {"route": "/v1/recognize", "status": 200, "caller": "tests", "problem": ""}
    assert line["milliseconds"] > 0
    everything = "".join(logged("replica_ocr_*"))
    assert not any(each in everything for each in ("geheim", "Quagga", "Zebra", "open sesame"))


def test_probes_may_come_often_and_while_pages_wait(
    client: httpx2.Client, address: str, page_picture: Picture
) -> None:
    page = page_picture(*["much to read on every line"] * 12)
    with ThreadPoolExecutor(40) as pool:
        pages = [pool.submit(client.post, "/v1/ocr", content=page) for _ in range(8)]
        probes = [pool.submit(httpx2.get, f"{address}/readyz", timeout=60) for _ in range(32)]
        assert {probe.result().status_code for probe in probes} == {200}
        assert {answer.result().status_code for answer in pages} == {200}


def test_a_body_that_tells_no_length_is_cut_at_the_limit_on_every_path(
    client: httpx2.Client,
) -> None:
    for path in ("/v1/batches", "/v1/recognize"):
        response = client.post(path, content=(bytes(1_000_000) for _ in range(4)))
        assert (response.status_code, response.json()["type"]) == (413, f"{TYPE}body-too-large")


def test_too_many_words_are_refused_in_a_form_as_in_json(
    client: httpx2.Client, word_picture: Picture
) -> None:
    pictures = [word_picture()] * 21
    files = [("file", (f"{number}.png", data)) for number, data in enumerate(pictures)]
    body = {"images": [base64.b64encode(data).decode() for data in pictures]}
    for response in (client.post("/v1/recognize", files=files),
                     client.post("/v1/recognize", json=body)):  # fmt: skip
        assert (response.status_code, response.json()["type"]) == (413, f"{TYPE}too-many-images")
