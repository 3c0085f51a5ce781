import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.inference.outputs.page_json import read_json, write_json
from ocr_model.inference.pages import Block, Line, Page, Quad, Word

SCHEMA = json.loads(
    (Path(__file__).parents[3] / "docs" / "page.schema.json").read_text(encoding="utf-8")
)
FRACTIONS = st.floats(0, 1)
QUADS = st.tuples(*[st.tuples(*[st.floats(-1e6, 1e6)] * 2)] * 4)
FILE_NAMES = st.text(st.characters(exclude_categories=()))  # with halves of surrogate pairs


def _check(data: bytes) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(data))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_pages_fit_the_schema_and_come_back_equal(document: list[Page]) -> None:
    data = write_json(document)
    _check(data)
    assert read_json(data) == document


@settings(max_examples=40, deadline=None)
@given(text=st.text(), source=FILE_NAMES, quad=QUADS, fraction=FRACTIONS, size=st.integers(0))
def test_any_page_fits_the_schema_and_comes_back_equal(
    text: str, source: str, quad: Quad, fraction: float, size: int
) -> None:
    word = Word(text, fraction, (fraction,) * len(text), quad, fraction)
    blocks = (Block((Line((word, word), quad), Line((), quad)), quad), Block((), quad))
    page = Page(
        size,
        size,
        blocks,
        source=source,
        skew=-fraction,
        seconds={text: fraction},
        warnings=(text,),
    )
    data = write_json([page])
    _check(data)
    assert read_json(data) == [page]


def test_texts_are_there_for_those_who_want_nothing_else(document: list[Page]) -> None:
    first = json.loads(write_json(document))["pages"][0]
    assert first["text"] == document[0].text
    assert first["blocks"][0]["lines"][0]["text"] == "Größe: 5 €"


@pytest.mark.parametrize(
    "change",
    [
        lambda word: word.pop("polygon"),
        lambda word: word.update(confidence=1.5),
        lambda word: word.update(polygon=word["polygon"][:3]),
        lambda word: word.update(colour="red"),
    ],
)
def test_the_schema_refuses_what_is_no_page(
    document: list[Page], change: Callable[[dict[str, Any]], object]
) -> None:
    found = json.loads(write_json(document))
    change(found["pages"][0]["blocks"][0]["lines"][0]["words"][0])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, SCHEMA)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "expected format"),
        (b'{"format": "ocr-on-ray pages", "version": 2, "pages": []}', "version 1, got"),
        (b'{"format": "ocr-on-ray pages", "version": 1, "pages": [{"width": "a"}]}', "width"),
        (b'{"format": "ocr-on-ray pages", "version": 1}', "valid list"),
    ],
)
def test_what_is_no_file_of_pages_says_why(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_json(data)


def test_a_number_that_json_has_not_is_refused(document: list[Page]) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json([replace(document[0], skew=float("nan"))])
