from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from ocr_model import Lexicon, ReadOptions, Recognizer
from ocr_model.decoding.readings import Prediction
from ocr_model.detection.maps import TextDetector, TextMaps
from ocr_model.detection.rectify import Crop, rectify
from ocr_model.image import Pixels
from ocr_model.inference.page_reader import PageReader
from ocr_model.inference.pages import Page, Quad
from ocr_model.inference.reader_config import ReadingConfig
from ocr_model.inference.structure import words_of

PLACES = [(20, 40), (180, 40), (20, 100), (180, 100), (340, 100)]
"""Lower left corners of words, in reading order."""


class InkDetector(TextDetector):
    """Finds dark words on white paper, which needs no network."""

    def find(self, images: Sequence[Pixels]) -> list[TextMaps]:
        return [self._maps(image) for image in images]

    def _maps(self, image: Pixels) -> TextMaps:
        ink = (image.min(axis=2) < 128).astype(np.float32)
        region = cv2.dilate(ink, np.ones((5, 15), np.uint8))
        return TextMaps(region, np.zeros_like(region), (1.0, 1.0), image.shape[:2])


@pytest.fixture(scope="module")
def recognizer(bundle_path: Path) -> Recognizer:
    return Recognizer.load(bundle_path)


@pytest.fixture
def reader(recognizer: Recognizer) -> Callable[..., PageReader]:
    def build(**settings: object) -> PageReader:
        unsure = {"orientation": "upright", "min_confidence": 0}  # the recogniser learned nothing
        config = ReadingConfig.model_validate({**unsure, **settings})
        return PageReader(InkDetector(), recognizer, config)

    return build


def _page(places: Sequence[tuple[int, int]] = PLACES, size: tuple[int, int] = (160, 500)) -> Pixels:
    pixels = np.full((*size, 3), 255, np.uint8)
    for number, place in enumerate(places):
        cv2.putText(pixels, f"word{number}", place, cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 2)
    return pixels


def _told(page: Page) -> list[tuple[str, Quad]]:
    """Confidences may differ in their last digits between batches."""
    return [(word.text, word.polygon) for word in page.words]


def _encoded(*pages: Pixels, form: str = "PNG") -> bytes:
    buffer = BytesIO()
    first, *others = map(Image.fromarray, pages)
    first.save(buffer, form, **({"save_all": True, "append_images": others} if others else {}))
    return buffer.getvalue()


def test_a_language_is_told_to_the_recogniser(recognizer: Recognizer) -> None:
    told: list[ReadOptions] = []

    class Listener:
        info = recognizer.info

        def read(self, images: Sequence[Crop], options: ReadOptions) -> list[Prediction]:
            told.append(options)
            return recognizer.read(images)

        def read_all(self, images: Iterable[Crop], options: ReadOptions) -> Iterator[Prediction]:
            yield from self.read(list(images), options)

    config = ReadingConfig(language="de", orientation="upright")
    PageReader(InkDetector(), Listener(), config).read(_page())
    assert {options.lexicon for options in told} == {Lexicon.of_language("de")}
    with pytest.raises(ValidationError, match="no words of language 'xx'"):
        ReadingConfig(language="xx")


def test_words_are_where_they_stand_and_read_as_the_recogniser_reads_them(
    reader: Callable[..., PageReader], recognizer: Recognizer
) -> None:
    pixels = _page()
    page = reader().read(pixels)
    assert (page.width, page.height, page.error) == (500, 160, "")
    assert len(page.words) == len(PLACES)
    for word, (left, bottom) in zip(page.words, PLACES, strict=True):
        quad = np.array([word.polygon], np.float32)
        assert np.abs(quad[0, 3] - (left, bottom)).max() < 12
        crop = rectify(pixels, quad, recognizer.info.geometry)[0]
        assert word.text == recognizer.read([crop])[0].text
    assert [len(line.words) for line in page.lines] == [2, 3]
    assert set(page.seconds) == {"detect", "boxes", "orient", "recognise", "order"}


def test_pages_read_together_are_read_as_each_alone(reader: Callable[..., PageReader]) -> None:
    pages = [_page(), _page(PLACES[:2]), np.full((60, 80, 3), 255, np.uint8), _page(PLACES[1:4])]
    together = list(reader(pages_at_a_time=3).read_all(pages))
    assert [_told(page) for page in together] == [_told(reader().read(page)) for page in pages]


def test_threads_may_share_a_reader(reader: Callable[..., PageReader]) -> None:
    shared = reader()
    pages = [_page(PLACES[:number]) for number in range(1, 6)] * 3
    with ThreadPoolExecutor(8) as pool:
        told = [_told(page) for page in pool.map(shared.read, pages)]
    assert told == [_told(shared.read(page)) for page in pages]


def test_any_form_of_a_picture_gives_the_same_page(
    reader: Callable[..., PageReader], tmp_path: Path
) -> None:
    pixels, path = _page(), tmp_path / "page.png"
    path.write_bytes(_encoded(pixels))
    forms = [path.read_bytes(), path, str(path), Image.open(path)]
    expected = reader().read(pixels)
    assert all(_told(reader().read(form)) == _told(expected) for form in forms)
    assert reader().read(path).source == str(path)


def test_a_word_that_is_read_turned_has_its_polygon_from_where_it_is_read(
    reader: Callable[..., PageReader], recognizer: Recognizer
) -> None:
    pixels = _page(PLACES[:2])
    pixels[:, 350:500] = 255
    column = np.rot90(_page([(20, 40)], (60, 150)))
    pixels[5:155, 400:460] = column
    page = reader().read(pixels)
    assert len(page.words) == 3
    for word in page.words:
        crop = rectify(pixels, np.array([word.polygon], np.float32), recognizer.info.geometry)
        assert word.text == recognizer.read(crop)[0].text


def test_one_picture_is_not_taken_for_many(reader: Callable[..., PageReader]) -> None:
    with pytest.raises(TypeError, match="takes many images"):
        next(reader().read_all("page.png"))


def test_an_empty_page_has_no_words(reader: Callable[..., PageReader]) -> None:
    for size in [(1, 1), (200, 300)]:
        page = reader(orientation="any").read(np.full((*size, 3), 255, np.uint8))
        assert (page.blocks, page.text, page.error) == ((), "", "")


def test_what_is_no_picture_is_a_page_with_an_error_among_others(
    reader: Callable[..., PageReader],
) -> None:
    good, bad = list(reader().read_all([_encoded(_page()), b"no picture"]))
    assert good.words
    assert not good.error
    assert bad.error.startswith("not_an_image")
    assert bad.blocks == ()


def test_a_document_of_many_pages_gives_them_all_and_read_says_that_there_are_more(
    reader: Callable[..., PageReader],
) -> None:
    document = _encoded(_page(PLACES[:1]), _page(PLACES[:3]), form="TIFF")
    pages = list(reader().read_document(document))
    assert [(page.number, len(page.words)) for page in pages] == [(1, 1), (2, 3)]
    first = reader().read(document)
    assert first.warnings == ("more pages follow: use read_document",)
    assert _told(first) == _told(pages[0])


def test_limits_leave_words_out_and_say_so(reader: Callable[..., PageReader]) -> None:
    few = reader(max_words=2).read(_page())
    assert len(few.words) == 2
    assert few.warnings == ("max_words: 3 of 5 words were left out",)
    late = reader(max_seconds=1e-6).read(_page())
    assert len(late.words) < len(PLACES)
    assert "words were found but not read" in late.warnings[0]
    (untried, unread) = reader(max_seconds=1e-6, orientation="any").read(_page()).warnings
    assert untried == "max_seconds: which way up the page is was not tried"
    assert "words were found but not read" in unread


def test_unsure_readings_are_left_out_where_asked(reader: Callable[..., PageReader]) -> None:
    found = reader().read(_page()).words
    middle = sorted(word.confidence for word in found)[2]
    kept = reader(min_confidence=middle).read(_page()).words
    assert [word.text for word in kept] == [w.text for w in found if w.confidence >= middle]


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_polygons_are_in_the_coordinates_of_the_image_however_it_lies(
    reader: Callable[..., PageReader], turn: int
) -> None:
    pixels = np.ascontiguousarray(np.rot90(_page(), turn))
    page = reader(orientation="any").read(pixels)
    assert len(page.words) == len(PLACES)
    ink = pixels.min(axis=2) < 128
    for word in page.words:
        inside = cv2.fillPoly(
            np.zeros(ink.shape, np.uint8), [np.array(word.polygon, np.int32)], 1
        ).astype(bool)
        assert ink[inside].mean() > 0.1


def test_a_reading_with_spaces_becomes_words_between_its_gaps() -> None:
    quad = np.array([[0, 0], [100, 10], [100, 30], [0, 20]], np.float32)
    reading = Prediction("ab c  d", 0.5, (0.9, 0.8, 1.0, 0.7, 1.0, 1.0, 0.99))
    gaps = [(0.3, 0.4), (0.5, 0.6), (0.6, 0.8)]
    words = list(words_of(quad, reading, 0.6, gaps))
    assert [word.text for word in words] == ["ab", "c", "d"]
    assert [word.char_confidences for word in words] == [(0.9, 0.8), (0.7,), (0.99,)]
    assert words[0].confidence == pytest.approx(0.72)
    assert words[0].polygon[0] == (0, 0)
    assert words[-1].polygon[2] == (100, 30)
    assert words[0].polygon[1] == pytest.approx((30, 3))
    assert words[1].polygon[0] == pytest.approx((40, 4))
    (whole,) = words_of(quad, Prediction("ab", 0.5, (0.9, 0.8)), 0.6)
    assert (whole.confidence, whole.box_confidence) == (0.5, 0.6)
