"""Pages that lie: which way up they are, by the models in the box."""

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
import pytest

from ocr_model.decoding.readings import Prediction
from ocr_model.detection.orientation import UprightFrame
from ocr_model.detection.rectify import Crop
from ocr_model.image import Pixels
from ocr_model.inference.documents import PageImage
from ocr_model.inference.drafts import Draft, is_surely_right
from ocr_model.inference.options import ReadOptions
from ocr_model.inference.page_reader import PageReader
from ocr_model.inference.recognizer import Recognizer

LINES = [
    "The harvest came early",
    "before market prices",
    "could follow the rain",
    "from northern hills",
]
WORDS = " ".join(LINES).split()


@pytest.fixture(scope="module")
def reader() -> PageReader:
    return PageReader.load()


def _page() -> Pixels:
    pixels = np.full((420, 620, 3), 255, np.uint8)
    for number, line in enumerate(LINES):
        at = (40, 90 + 80 * number)
        cv2.putText(pixels, line, at, cv2.FONT_HERSHEY_COMPLEX, 1.1, 0, 2, cv2.LINE_AA)
    return pixels


def _skewed(pixels: Pixels, degrees: float) -> Pixels:
    height, width = pixels.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 0.85)
    return cv2.warpAffine(pixels, turn, (width, height), borderValue=(255, 255, 255))


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_page_is_read_however_it_lies_and_says_how(reader: PageReader, quarters: int) -> None:
    page = reader.read(np.ascontiguousarray(np.rot90(_page(), quarters)))
    assert page.text.split() == WORDS
    assert page.rotation == 90 * quarters
    assert page.rotation_confidence > 0.9
    assert page.skew == pytest.approx(0, abs=1)
    assert page.skew_confidence > 0.5


def test_pages_of_a_group_do_not_mix_however_they_lie(reader: PageReader) -> None:
    turned = [np.ascontiguousarray(np.rot90(_page(), quarters)) for quarters in range(4)]
    empty = np.full((200, 300, 3), 255, np.uint8)
    pages = list(reader.read_all([turned[2], empty, turned[0], turned[1], b"none", turned[3]]))
    assert [page.rotation for page in pages] == [180, 0, 0, 90, 0, 270]
    assert [page.text.split() for page in pages] == [WORDS, [], WORDS, WORDS, [], WORDS]


def test_words_that_read_better_turned_do_not_tell_that_their_page_stands() -> None:
    corners = np.array([[0, 0], [80, 0], [80, 20], [0, 20]], np.float32)
    quads = np.stack([corners + np.float32(10 + 40 * line) for line in range(4)])
    frame = UprightFrame(0, 0.0, 200, 200)
    pixels = np.full((200, 200, 3), 255, np.uint8)
    draft = Draft(PageImage(pixels, 1), pixels, quads, np.ones(4), frame)
    draft.level(may_be_turned=True)
    as_it_lies = Prediction("w", 0.3, (0.3,))
    draft.first_readings = [as_it_lies] * 4
    draft.readings = [Prediction("harvest", 0.9, (0.9,) * 7)] * 4
    draft.take_probes()
    assert draft.probes == {0: [as_it_lies] * 4}
    assert not draft.is_surely_right
    draft.first_readings[0] = None  # there was no time for it
    draft.probes.clear()
    draft.take_probes()
    assert not draft.probes


def test_lines_that_run_at_a_slope_are_measured(reader: PageReader) -> None:
    page = reader.read(_skewed(_page(), 6))
    assert page.text.split() == WORDS
    assert page.skew == pytest.approx(6, abs=1)
    assert page.skew_confidence > 0.5


def test_no_page_has_confidence_where_nothing_was_found(reader: PageReader) -> None:
    page = reader.read(np.full((200, 300, 3), 255, np.uint8))
    assert (page.rotation_confidence, page.skew_confidence) == (0.0, 0.0)


def test_a_turned_page_says_once_what_a_limit_left_out(reader: PageReader) -> None:
    limited = PageReader(reader.detector, reader.recognizer, reader.config.replace(max_words=3))
    page = limited.read(np.ascontiguousarray(np.rot90(_page())))
    assert len(page.words) == 3
    (warning,) = page.warnings
    assert warning.startswith("max_words: ")


@pytest.mark.parametrize(
    ("turn", "candidates", "is_right"),
    [(0, (0, 180), True), (270, (270, 90), True), (270, (270, 90, 0, 180), False),
     (0, (0, 180, 270, 90), True)],
)  # fmt: skip
def test_a_turn_to_the_side_is_taken_at_once_only_where_lines_say_so(
    turn: int, candidates: tuple[int, ...], *, is_right: bool
) -> None:
    probes = {turn: [Prediction("harvest", 0.9, (0.9,) * 7)] * 3}
    assert is_surely_right(probes, candidates) == is_right


@pytest.mark.parametrize(
    "readings", [[("ON", 0.99)] * 2, [("harvest", 0.3)] * 12, [("i", 0.9)] * 12, []]
)
def test_few_or_unsure_characters_are_not_enough(readings: list[tuple[str, float]]) -> None:
    probes = {0: [Prediction(text, sure, (sure,) * len(text)) for text, sure in readings]}
    assert not is_surely_right(probes, (0, 180))


class _Counting:
    """Counts how often all of a page is read, and how often some of it in a turn."""

    def __init__(self, recognizer: Recognizer) -> None:
        self.info, self._recognizer = recognizer.info, recognizer
        self.num_pages = self.num_turns = 0

    def read(self, images: Sequence[Crop], options: ReadOptions) -> list[Prediction]:
        self.num_turns += bool(images)
        return self._recognizer.read(images, options)

    def read_all(self, images: Iterable[Crop], options: ReadOptions) -> Iterator[Prediction]:
        crops = list(images)
        self.num_pages += bool(crops)
        return self._recognizer.read_all(crops, options)


@pytest.mark.parametrize(
    ("quarters", "pages", "turns"), [(0, 1, 0), (1, 1, 2), (2, 2, 1), (3, 1, 1)]
)
def test_all_of_a_page_is_read_twice_only_where_it_is_upside_down(
    reader: PageReader, quarters: int, pages: int, turns: int
) -> None:
    assert isinstance(reader.recognizer, Recognizer)
    counting = _Counting(reader.recognizer)
    page = PageReader(reader.detector, counting).read(
        np.ascontiguousarray(np.rot90(_page(), quarters))
    )
    assert page.rotation == 90 * quarters
    assert (counting.num_pages, counting.num_turns) == (pages, turns)
