import asyncio
import json
import runpy
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from ocr_model import PageReader
from ocr_model.client import AsyncClient, Client, ServiceError
from ocr_model.errors import ConfigError

Picture = Callable[..., bytes]
JOB = str(Path(__file__).parents[2] / "jobs" / "ocr_client.py")


class BusyService(ThreadingHTTPServer):
    """Answers with what it is given, one after the other."""

    answers: list[tuple[int, dict[str, str], bytes]]
    num_requests = 0


class _Handler(BaseHTTPRequestHandler):
    server: BusyService

    def do_GET(self) -> None:
        self.server.num_requests += 1
        status, headers, body = self.server.answers.pop(0)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def busy() -> Iterator[BusyService]:
    server = BusyService(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _address(server: BusyService) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def _problem(kind: str) -> bytes:
    return json.dumps({"type": f"urn:ocr-on-ray:problem:{kind}", "detail": "wait"}).encode()


def test_what_is_refused_for_the_moment_is_tried_again(busy: BusyService) -> None:
    wait = {"Retry-After": "0"}
    busy.answers = [
        (429, wait, _problem("rate-limited")),
        (503, wait, b"of a proxy"),
        (200, {}, b'{"default": "x"}'),
    ]
    with Client(_address(busy)) as client:
        assert client.models() == {"default": "x"}
    assert busy.num_requests == 3


def test_what_stays_refused_is_an_error_in_the_end(busy: BusyService) -> None:
    busy.answers = [(429, {"Retry-After": "0"}, _problem("rate-limited"))] * 2
    with (
        Client(_address(busy), attempts=2) as client,
        pytest.raises(ServiceError, match="429 rate-limited: wait"),
    ):
        client.models()
    assert busy.num_requests == 2


def test_what_is_wrong_with_a_request_is_not_tried_again(busy: BusyService) -> None:
    busy.answers = [(401, {}, _problem("unauthorized"))]
    with Client(_address(busy)) as client, pytest.raises(ServiceError) as caught:
        client.models()
    assert (caught.value.status, caught.value.kind) == (401, "unauthorized")


def test_no_service_is_an_error_that_says_so() -> None:
    with (
        Client("http://127.0.0.1:9", attempts=1) as client,
        pytest.raises(ServiceError, match=r"no-answer: http://127\.0\.0\.1:9/: ConnectError"),
    ):
        client.models()


def test_both_clients_read_as_one_process_does(
    client: httpx2.Client,
    word_picture: Picture,
    page_picture: Picture,
    reader: PageReader,
    tokens: dict[str, str],
) -> None:
    token = tokens["tests"]
    address, words = str(client.base_url), [word_picture("one"), word_picture("two"), b"none"]
    page = page_picture("HOTEL Paris")
    with Client(address, token=token) as sync_client:
        readings = sync_client.read_words(words)
        (read_page,) = sync_client.read_document(page)
        assert sync_client.convert(page, "pdf").startswith(b"%PDF-")

    async def read() -> tuple[object, object]:
        async with AsyncClient(address, token=token) as async_client:
            models = await async_client.models()
            assert models["default"] == "compact"
            return await async_client.read_words(words), await async_client.convert(page, "text")

    again, text = asyncio.run(read())
    assert [r.text for r in readings] == [p.text for p in reader.recognizer.read(words)]
    assert readings[2].error
    assert [r.text for r in readings] == [r.text for r in again]
    assert read_page.text == reader.read(page).text
    assert isinstance(text, bytes)
    assert text.decode().split() == read_page.text.split()


def test_the_command_reads_a_folder_by_the_service(
    client: httpx2.Client,
    page_picture: Picture,
    tokens: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    (scans / "sign.png").write_bytes(page_picture("HOTEL"))
    (scans / "broken.png").write_bytes(b"no picture")
    settings = [f"input={scans}", f"output={out}", f"address={client.base_url}", "format=json"]
    monkeypatch.setenv("OCR_TOKEN", tokens["tests"])
    monkeypatch.setattr(sys, "argv", [JOB, "--set", *settings])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(JOB, run_name="__main__")
    assert ended.value.code == 1
    assert json.loads((out / "sign.png.json").read_text())["pages"][0]["blocks"]
    printed = capsys.readouterr()
    assert str(out / "sign.png.json") in printed.out
    assert "broken.png: 415 not-an-image" in printed.err


@pytest.mark.parametrize(
    ("address", "token", "why"),
    [
        ("http://host:port", None, "address=http://host:port is none"),
        ("host:8000", None, "address=host:8000 is none, expected such as http://"),
        ("http://host", "secret\n", "^the token has characters that no header takes$"),
        ("http://127.0.0.1:9", "geheimnisvoll\N{EURO SIGN}", "no header takes"),
    ],
)
def test_an_address_or_token_that_is_none_is_told(
    address: str, token: str | None, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        Client(address, token=token)
