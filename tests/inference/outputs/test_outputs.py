"""All formats together, and the plain text."""

from collections.abc import Iterator

import numpy as np
import pytest
from pydantic import TypeAdapter

from ocr_model.inference.outputs import OutputConfig, output_files
from ocr_model.inference.pages import Page

NAMES = ["alto", "hocr", "json", "overlay", "pdf", "text"]
PICTURES = [np.full((400, 600, 3), 255, np.uint8), None, np.full((400, 600, 3), 255, np.uint8)]


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("alto", ["a.alto.xml"]),
        ("hocr", ["a.hocr"]),
        ("json", ["a.json"]),
        ("overlay", ["a-0001.png", "a-0002.png", "a-0003.png"]),
        ("pdf", ["a.pdf"]),
        ("text", ["a.txt"]),
    ],
)
def test_every_format_is_made_by_its_name(
    name: str, files: list[str], document: list[Page]
) -> None:
    config = TypeAdapter(OutputConfig).validate_python({"name": name})
    pictures = PICTURES if config.needs_pictures else []
    made = dict(output_files(config, "a", document, pictures))
    assert list(made) == files
    assert all(made.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_document_without_pages_and_pages_without_words_are_written(name: str) -> None:
    config = TypeAdapter(OutputConfig).validate_python({"name": name})
    assert len(list(output_files(config, "a", []))) == (name != "overlay")
    pictures = PICTURES[:1] if config.needs_pictures else []
    assert [file for file, _ in output_files(config, "a", [Page(600, 400)], pictures)]


@pytest.mark.parametrize("name", ["overlay", "pdf"])
@pytest.mark.parametrize("pictures", [PICTURES[:2], [*PICTURES, None]])
def test_pictures_must_be_as_many_as_pages(
    name: str, pictures: list[np.ndarray | None], document: list[Page]
) -> None:
    config = TypeAdapter(OutputConfig).validate_python({"name": name})
    with pytest.raises(ValueError, match=r"zip\(\)"):
        list(output_files(config, "a", document, pictures))


@pytest.mark.parametrize("name", ["overlay", "pdf"])
def test_a_picture_of_another_size_is_refused(name: str, document: list[Page]) -> None:
    config = TypeAdapter(OutputConfig).validate_python({"name": name})
    with pytest.raises(ValueError, match="is 600x400, its picture 5x7"):
        list(output_files(config, "a", document[:1], [np.zeros((7, 5, 3), np.uint8)]))


def test_pictures_are_asked_for_one_at_a_time(document: list[Page]) -> None:
    asked = []

    def pictures() -> Iterator[np.ndarray | None]:
        for i, picture in enumerate(PICTURES):
            asked.append(i)
            yield picture

    config = TypeAdapter(OutputConfig).validate_python({"name": "overlay"})
    files = output_files(config, "a", document, pictures())
    next(files)
    assert asked == [0]


def test_plain_text_has_lines_and_a_form_feed_between_pages(document: list[Page]) -> None:
    config = TypeAdapter(OutputConfig).validate_python({"name": "text"})
    ((_, data),) = output_files(config, "a", document)
    first, broken, last = data.decode().split("\f")
    assert first == document[0].text + "\n"
    assert broken == "\n"
    assert last == "upside down\n"
