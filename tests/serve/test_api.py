import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import httpx2
import jsonschema
import numpy as np
import pytest
from PIL import Image

from ocr_model import PageReader

Picture = Callable[..., bytes]
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "page.schema.json").read_text())


def _kind(response: httpx2.Response) -> str:
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == response.status_code
    return str(problem["type"].removeprefix("urn:ocr-on-ray:problem:"))


def test_a_word_is_read_from_a_raw_body_as_in_one_process(
    client: httpx2.Client, word_picture: Picture, reader: PageReader
) -> None:
    response = client.post("/v1/recognize", content=word_picture("Hotel"))
    assert response.status_code == 200
    (word,) = response.json()["words"]
    (expected,) = reader.recognizer.read([word_picture("Hotel")])
    assert word["text"] == expected.text
    assert word["confidence"] == pytest.approx(expected.confidence, abs=1e-4)
    assert len(word["char_confidences"]) == len(expected.text)


def test_many_words_are_read_from_a_form_or_from_json_and_bad_ones_say_why(
    client: httpx2.Client, word_picture: Picture, reader: PageReader
) -> None:
    pictures = [word_picture("one"), b"no picture", word_picture("three")]
    files = [("file", (f"{number}.png", data)) for number, data in enumerate(pictures)]
    body = {"images": [base64.b64encode(data).decode() for data in pictures]}
    for response in (client.post("/v1/recognize", files=files),
                     client.post("/v1/recognize", json=body)):  # fmt: skip
        assert response.status_code == 200
        words = response.json()["words"]
        expected = reader.recognizer.read(pictures)
        assert [word["text"] for word in words] == [reading.text for reading in expected]
        assert [word["error"] for word in words] == ["", expected[1].error, ""]
        assert expected[1].error.startswith("not_an_image: ")


def test_readings_follow_the_callers_characters_lexicon_and_model(
    client: httpx2.Client, word_picture: Picture
) -> None:
    def read(picture: bytes, **query: object) -> str:
        response = client.post("/v1/recognize", content=picture, params=query)
        assert response.status_code == 200, response.text
        return str(response.json()["words"][0]["text"])

    assert read(word_picture("Hotel"), lexicon=["Motel", "Inn"]) == "Motel"
    assert set(read(word_picture("1805"), characters="0123456789")) <= set("0123456789")
    assert set(read(word_picture("Hotel"), characters="xyz")) <= set("xyz")
    assert read(word_picture("Hotel"), model="other")


def test_words_that_stand_high_are_read_turned_unless_they_are_upright(
    client: httpx2.Client, word_picture: Picture, reader: PageReader
) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(word_picture("Hotel"))))
    picture = cv2.imencode(".png", cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE))[1].tobytes()

    def read(**query: str) -> dict[str, Any]:
        response = client.post("/v1/recognize", content=picture, params=query)
        return dict(response.json()["words"][0])

    (expected,) = reader.recognizer.read([picture])
    assert (expected.text, expected.rotation) == ("Hotel", 270)
    for word in (read(), read(orientations="vertical"), read(orientations="plausible")):
        assert (word["text"], word["rotation"]) == ("Hotel", 270)
    assert read(orientations="upright")["rotation"] == 0


def test_a_page_comes_in_every_format_as_it_is_read_in_one_process(
    client: httpx2.Client, page_picture: Picture, reader: PageReader
) -> None:
    page = page_picture("HOTEL Paris", "Room 1805")
    answers = {
        name: client.post("/v1/ocr", params={"format": name}, content=page)
        for name in ("json", "text", "hocr", "alto", "pdf")
    }
    assert {answer.status_code for answer in answers.values()} == {200}
    assert answers["text"].text.split() == reader.read(page).text.split()
    assert len(answers["text"].text.split()) >= 3
    jsonschema.validate(answers["json"].json(), SCHEMA)
    assert "ocrx_word" in answers["hocr"].text
    assert "<alto" in answers["alto"].text
    assert answers["pdf"].content.startswith(b"%PDF-")


def test_pages_follow_the_callers_characters_lexicon_and_orientation(
    client: httpx2.Client, page_picture: Picture
) -> None:
    def read(picture: bytes, **query: object) -> list[str]:
        response = client.post("/v1/ocr", content=picture, params={"format": "text", **query})
        assert response.status_code == 200, response.text
        return str(response.text).split()

    page = page_picture("HOTEL Paris", "Room 1805")
    assert set(read(page, lexicon=["MOTEL", "Rome"], min_confidence=0)) <= {"MOTEL", "Rome"}
    assert set("".join(read(page, characters="0123456789"))) <= set("0123456789")
    pixels = np.asarray(Image.open(io.BytesIO(page)))
    upside_down = cv2.imencode(".png", cv2.rotate(pixels, cv2.ROTATE_180))[1].tobytes()
    assert read(upside_down) == read(page)
    assert read(upside_down, orientation="upright") != read(page)


def test_a_pdf_is_read_page_by_page(
    client: httpx2.Client, page_picture: Picture, reader: PageReader
) -> None:
    pdf = client.post("/v1/ocr", params={"format": "pdf"}, content=page_picture("HOTEL Paris"))
    form = {"file": ("scan.pdf", pdf.content, "application/pdf")}
    (page,) = client.post("/v1/ocr", files=form).json()["pages"]
    (expected,) = reader.read_document(pdf.content)
    assert page["text"] == expected.text
    assert (page["width"], page["height"]) == (expected.width, expected.height)


def test_pages_that_are_read_at_the_same_time_come_in_order(
    client: httpx2.Client, page_picture: Picture, reader: PageReader
) -> None:
    lines = [["Paris", "HOTEL", "Room 1805"], ["Berlin"], ["London"]]
    first, *others = (Image.open(io.BytesIO(page_picture(*each))) for each in lines)
    document = io.BytesIO()
    first.save(document, "TIFF", save_all=True, append_images=others)
    pages = client.post("/v1/ocr", content=document.getvalue()).json()["pages"]
    assert [page["number"] for page in pages] == [1, 2, 3]
    expected = reader.read_document(document.getvalue())
    assert [page["text"] for page in pages] == [page.text for page in expected]


def test_many_files_are_answered_line_by_line_as_they_are_done(
    client: httpx2.Client, page_picture: Picture
) -> None:
    files = [
        ("file", ("first.png", page_picture("HOTEL"))),
        ("file", ("broken.png", b"no picture")),
        ("file", ("third.png", page_picture("Paris"))),
    ]
    headers = {"Accept": "application/x-ndjson"}
    with client.stream("POST", "/v1/ocr", files=files, headers=headers) as response:
        assert response.status_code == 200
        lines = sorted(map(json.loads, response.iter_lines()), key=lambda line: line["index"])
    assert [line["name"] for line in lines] == ["first.png", "broken.png", "third.png"]
    assert lines[0]["pages"][0]["text"]
    assert lines[1]["problem"]["status"] == 415
    assert lines[2]["pages"][0]["text"]


def test_attention_says_where_each_character_was_seen(
    client: httpx2.Client, word_picture: Picture
) -> None:
    answer = client.post("/v1/attention", content=word_picture("Hotel")).json()
    assert len(answer["maps"]) == len(answer["text"]) >= 5
    peaks = [max(range(len(row)), key=row.__getitem__)
             for row in ([max(column) for column in zip(*heat, strict=True)]
                         for heat in answer["maps"])]  # fmt: skip
    assert peaks == sorted(peaks)
    assert {max(map(max, heat)) for heat in answer["maps"]} == {1.0}


def test_the_models_are_listed_by_the_names_to_ask_for(client: httpx2.Client) -> None:
    answer = client.get("/v1/models").json()
    assert answer["default"] == "compact"
    assert [model["name"] for model in answer["models"]] == ["compact", "other"]
    assert answer["models"][0]["architecture"] == "resnet_transformer"


@pytest.mark.parametrize(
    ("path", "query", "body", "status", "kind"),
    [
        ("/v1/ocr", {}, b"", 422, "no-file"),
        ("/v1/ocr", {}, b"no picture", 415, "not-an-image"),
        ("/v1/ocr", {}, b"%PDF-1.7 and no more", 422, "undecodable"),
        ("/v1/ocr", {"format": "docx"}, b"x", 422, "bad-parameter"),
        ("/v1/ocr", {"pages": "3-1"}, b"%PDF-", 422, "bad-setting"),
        ("/v1/ocr", {"language": "xx"}, b"x", 422, "bad-parameter"),
        ("/v1/ocr", {"language": "ru"}, None, 422, "bad-setting"),
        ("/v1/ocr", {"colour": "red"}, b"x", 422, "bad-parameter"),
        ("/v1/recognize", {}, b"no picture", 415, "not-an-image"),
        ("/v1/recognize", {}, b"0" * 3_000_001, 413, "body-too-large"),
        ("/v1/recognize", {"model": "none"}, b"x", 404, "unknown-model"),
        ("/v1/recognize", {"lexicon_bonus": 2}, b"x", 422, "bad-parameter"),
        ("/v1/recognize", {"language": "en", "lexicon": "a"}, b"x", 422, "bad-parameter"),
        ("/v1/attention", {"characters": "é"}, None, 422, "bad-setting"),
        ("/healthz", {}, b"x", 405, "method-not-allowed"),
    ],
)
def test_what_is_wrong_with_a_request_a_problem_document_says(
    client: httpx2.Client,
    word_picture: Picture,
    path: str,
    query: dict[str, Any],
    body: bytes | None,
    status: int,
    kind: str,
) -> None:
    response = client.post(path, params=query, content=word_picture() if body is None else body)
    assert (response.status_code, _kind(response)) == (status, kind), response.text


def test_every_answer_has_security_headers_and_a_request_id(client: httpx2.Client) -> None:
    for path in ("/healthz", "/v1/models", "/v1/nothing"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-request-id"]


def test_a_wrong_method_is_told_so_though_a_page_is_served_too(client: httpx2.Client) -> None:
    response = client.get("/v1/ocr")
    assert (response.status_code, _kind(response)) == (405, "method-not-allowed")
    assert client.get("/").headers["content-type"].startswith("text/html")


def test_the_interface_describes_itself(client: httpx2.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {"/v1/ocr", "/v1/recognize", "/v1/attention", "/v1/models"} <= set(document["paths"])


def test_a_path_that_is_not_there_is_a_problem_too(client: httpx2.Client) -> None:
    response = client.get("/v1/nothing")
    assert (response.status_code, _kind(response)) == (404, "not-found")


def test_openapi_names_every_answer_of_a_verb(client: httpx2.Client) -> None:
    verb = client.get("/openapi.json").json()["paths"]["/v1/ocr"]["post"]
    assert {"image/*", "application/pdf", "multipart/form-data"} <= set(
        verb["requestBody"]["content"]
    )
    assert {"401", "413", "415", "422", "429", "503"} <= set(verb["responses"])
    assert "application/problem+json" in verb["responses"]["429"]["content"]


def test_no_token_a_wrong_one_and_a_used_up_one_are_refused(
    address: str, client: httpx2.Client, word_picture: Picture, tokens: dict[str, str]
) -> None:
    def status(authorization: str | None) -> int:
        headers = {} if authorization is None else {"Authorization": authorization}
        url = f"{address}/v1/recognize"
        response = httpx2.post(url, content=word_picture(), headers=headers, timeout=60)
        if response.status_code != 200:
            _kind(response)
        return response.status_code

    assert client.get("/healthz", headers={"Authorization": ""}).status_code == 200
    assert status(None) == 401
    assert status("Bearer wrong") == 401
    assert [status(f"Bearer {tokens['rarely']}") for _ in range(3)] == [200, 200, 429]


def test_the_maps_of_a_large_picture_are_small(
    client: httpx2.Client, word_picture: Picture
) -> None:
    with Image.open(io.BytesIO(word_picture("Hotel"))) as small:
        large = small.resize((3_000, 1_000))
    sink = io.BytesIO()
    large.save(sink, "PNG")
    answer = client.post("/v1/attention", content=sink.getvalue()).json()
    assert (answer["width"], answer["height"]) == (3_000, 1_000)
    assert len(answer["maps"]) == len(answer["text"])
    assert {(len(grid), len(grid[0])) for grid in answer["maps"]} == {(32, 96)}
    assert {max(map(max, grid)) for grid in answer["maps"]} == {1.0}
