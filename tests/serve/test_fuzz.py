import asyncio
import io
import json
import random
import socket
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from PIL import Image

Picture = Callable[..., bytes]


@pytest.fixture
def times(request: pytest.FixtureRequest) -> int:
    """How many times as many requests are sent: `--fuzz-times 13` makes some 2,000."""
    return int(request.config.getoption("--fuzz-times", 1))


@pytest.fixture(autouse=True)
def statuses(
    client: httpx2.Client, record_testsuite_property: Callable[[str, object], None]
) -> Iterator[Counter[int]]:
    """Statuses of the answers to the client, and what else is added; `--junitxml` has them."""
    counted: Counter[int] = Counter()
    client.event_hooks["response"].append(lambda answer: counted.update([answer.status_code]))
    yield counted
    record_testsuite_property("statuses", dict(counted))


def test_what_the_interface_allows_is_never_a_fault_of_ours(
    client: httpx2.Client,
    address: str,
    tokens: dict[str, str],
    times: int,
    statuses: Counter[int],
) -> None:
    assert client.base_url, "the application is ready"
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    headers = {"Authorization": f"Bearer {tokens['tests']}"}
    # schemathesis 4.32's own fixture does not know pytest 9, so operations are gone through here.
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 8
    for operation in operations:

        @settings(max_examples=15 * times, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:  # noqa: ANN401  # schemathesis's own
            response = case.call(headers=headers)
            statuses[response.status_code] += 1
            assert response.status_code < 500, (response.status_code, response.text)
            if response.status_code >= 400:
                assert response.headers["content-type"] == ["application/problem+json"]

        check()


@pytest.mark.parametrize("path", ["/v1/recognize", "/v1/ocr"])
def test_damaged_pictures_are_read_or_refused(
    client: httpx2.Client, word_picture: Picture, path: str, times: int
) -> None:
    draw, word = random.Random(0), Image.open(io.BytesIO(word_picture()))
    originals = []
    for kind in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "PDF"):
        buffer = io.BytesIO()
        word.save(buffer, kind)
        originals.append(buffer.getvalue())
    for _ in range(3 * times):
        for original in originals:
            length = draw.choice((len(original), draw.randrange(1, len(original) + 1)))
            damaged = bytearray(original[:length])
            for _ in range(draw.randrange(8)):
                damaged[draw.randrange(len(damaged))] = draw.randrange(256)
            response = client.post(path, content=bytes(damaged))
            assert response.status_code in (200, 413, 415, 422), response.text
    assert client.get("/readyz").status_code == 200


def test_a_bomb_is_refused_by_its_header(client: httpx2.Client) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(name + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + name + data + crc

    side = (30_000).to_bytes(4, "big")
    pixels = zlib.compress(bytes(30_000 * 1000))
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", side + side + b"\x08\x00\x00\x00\x00")
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )
    for path in ("/v1/recognize", "/v1/attention", "/v1/ocr"):
        response = client.post(path, content=bomb)
        assert (response.status_code, response.json()["type"]) == (
            413,
            "urn:ocr-on-ray:problem:too-large",
        )


def test_a_pdf_of_a_huge_page_and_of_many_pages_is_bounded(client: httpx2.Client) -> None:
    buffer = io.BytesIO()
    pages = [Image.new("RGB", (20, 20), "white") for _ in range(6)]
    pages[0].save(buffer, "PDF", save_all=True, append_images=pages[1:], resolution=0.01)
    answer = client.post("/v1/ocr", content=buffer.getvalue(), params={"dpi": 2400})
    assert answer.status_code == 200
    read = answer.json()["pages"]
    assert all(page["width"] * page["height"] <= 4_000_000 for page in read)
    assert read[-1]["error"].startswith("too_many_pages: more than max_pages=3")


@pytest.mark.parametrize(
    ("drawing", "kind"),
    [
        (b"0 0 m 190 90 l 10 50 l f " * 300_000, "pdf-too-slow"),
        (b"0 0 m " + b"1 1 l " * 10_000_000 + b"f", "pdf-too-large"),
    ],
    ids=["time", "memory"],
)
def test_a_pdf_of_endless_drawing_is_refused_and_costs_no_other_page(
    client: httpx2.Client, make_pdf: Callable[..., bytes], drawing: bytes, kind: str
) -> None:
    alone, between = make_pdf(drawing), make_pdf(b"", drawing, b"")
    assert len(between) < 100_000
    answer = client.post("/v1/ocr", content=alone)
    assert (answer.status_code, answer.json()["type"]) == (422, f"urn:ocr-on-ray:problem:{kind}")
    answer = client.post("/v1/ocr", content=between)
    assert answer.status_code == 200
    reasons = [page["error"].partition(": ")[0] for page in answer.json()["pages"]]
    assert reasons == ["", kind.replace("-", "_"), ""]
    answer = client.post("/v1/ocr", content=between, params={"format": "pdf"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/v1/recognize", "/v1/ocr", "/v1/attention"])
def test_broken_bodies_of_every_kind_are_refused(
    client: httpx2.Client, word_picture: Picture, path: str, times: int
) -> None:
    draw = random.Random(path)
    form = client.build_request("POST", path, files={"file": word_picture()})
    kinds = [
        (form.headers["content-type"], form.read()),
        ("application/json", json.dumps({"images": ["iVBORw0KGgo="]}).encode()),
        ("application/pdf", b"%PDF-1.7\n1 0 obj\n<</Type/Catalog/Pages 1 0 R>>\nendobj\n"),
    ]
    for _ in range(4 * times):
        for media_type, body in kinds:
            cut = body[: draw.randrange(len(body))]
            answer = client.post(path, content=cut, headers={"Content-Type": media_type})
            assert answer.status_code in (200, 413, 415, 422), (media_type, cut, answer.text)
    assert client.get("/readyz").status_code == 200


def test_a_body_that_does_not_come_is_given_up(client: httpx2.Client) -> None:
    starts = [b"Content-Length: 100\r\n\r\nxyz", b"Content-Length: 5\r\n\r\n"]
    with ExitStack() as stack:
        sockets = []
        for start in starts:
            address = client.base_url.host, client.base_url.port or 80
            opened = stack.enter_context(socket.create_connection(address, timeout=60))
            opened.sendall(_head(client) + start)
            sockets.append(opened)
        answers = [opened.recv(100) for opened in sockets]
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 408"] * 2


def test_more_than_the_places_is_refused_at_once_and_what_is_accepted_is_read(
    client: httpx2.Client, word_picture: Picture
) -> None:
    images = [("file", (str(number), word_picture())) for number in range(10)]

    async def send_all() -> list[httpx2.Response]:
        connections = httpx2.Limits(max_connections=60)
        async with httpx2.AsyncClient(
            base_url=client.base_url, headers=client.headers, timeout=120, limits=connections
        ) as many:
            posts = (many.post("/v1/recognize", files=images) for _ in range(60))
            return await asyncio.gather(*posts)  # limits.max_requests is 24

    responses = asyncio.run(send_all())
    refused = [response for response in responses if response.status_code == 429]
    accepted = [response for response in responses if response.status_code == 200]
    assert Counter(r.status_code for r in responses).keys() == {200, 429}
    assert len(accepted) >= 24
    assert {response.headers["retry-after"] for response in refused} == {"1"}
    assert {len(response.json()["words"]) for response in accepted} == {10}


def _head(client: httpx2.Client) -> bytes:
    token = client.headers["Authorization"]
    return f"POST /v1/recognize HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n".encode()
