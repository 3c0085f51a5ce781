import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from ocr_model.inference.outputs.overlay import draw_overlay
from ocr_model.inference.pages import Line, Page

GREEN, AMBER, RED = (26, 127, 55), (191, 120, 0), (196, 50, 10)
MakeLine, MakePage = Callable[..., Line], Callable[..., Page]


def _drawn(page: Page, pixels: np.ndarray | None = None) -> np.ndarray:
    pixels = np.full((page.height, page.width, 3), 255, np.uint8) if pixels is None else pixels
    with Image.open(io.BytesIO(draw_overlay(page, pixels))) as image:
        assert image.format == "PNG"
        return np.asarray(image)


def _halves(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut off the legend and the line between the halves."""
    half = (drawn.shape[1] - 4) // 2
    return drawn[:-28, :half], drawn[:-28, half + 4 :]


def _has(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((np.abs(picture.astype(int) - colour).max(-1) <= 40).any())  # edges are soft


@pytest.mark.parametrize(
    ("confidence", "colour"), [(0.95, GREEN), (0.9, GREEN), (0.7, AMBER), (0.2, RED)]
)
def test_box_and_text_say_by_their_colour_how_sure_a_word_is(
    confidence: float, colour: tuple[int, int, int], make_line: MakeLine, make_page: MakePage
) -> None:
    for half in _halves(_drawn(make_page([make_line("MMM", 20, 40, 0, confidence)]))):
        assert [_has(half, c) for c in (GREEN, AMBER, RED)] == [
            colour == c for c in (GREEN, AMBER, RED)
        ]


@pytest.mark.parametrize("degrees", [0, 45, 90, 180])
def test_texts_are_written_into_their_quads_and_nowhere_else(
    degrees: float, make_line: MakeLine, make_page: MakePage
) -> None:
    page = make_page([make_line("MMMM", 300, 200, degrees)])
    _, right = _halves(_drawn(page))
    ys, xs = np.nonzero((right < 200).any(-1))
    scale = right.shape[1] / page.width
    corners = np.array(page.words[0].polygon) * scale
    assert (corners.min(0) - 2 <= (xs.min(), ys.min())).all()
    assert (corners.max(0) + 2 >= (xs.max(), ys.max())).all()
    middle = (xs.mean(), ys.mean())
    np.testing.assert_allclose(middle, corners.mean(0), atol=10)


def test_small_pictures_grow_until_words_can_be_read(
    make_line: MakeLine, make_page: MakePage
) -> None:
    left, _ = _halves(_drawn(make_page([make_line("word", 20, 40)])))
    assert left.shape == (500, 750, 3)  # 16 pixels become 20


def test_huge_pictures_shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocr_model.inference.outputs.overlay._MOST_PIXELS", 120_000)
    left, _ = _halves(_drawn(Page(800, 600)))
    assert left.shape == (300, 400, 3)


@pytest.mark.parametrize("text", ["", " ", "漢字\N{GRINNING FACE}", "a\0\n", "x" * 500])
def test_any_text_is_drawn(text: str, make_line: MakeLine, make_page: MakePage) -> None:
    _drawn(make_page([make_line(text, 590, 395)]))


def test_quads_that_are_flat_or_outside_do_no_harm(
    make_line: MakeLine, make_page: MakePage
) -> None:
    outside = [make_line("away", -500, -500), make_line("far", 1e6, 1e6), make_line("edge", -9, -9)]
    left, right = _halves(_drawn(make_page(outside)))
    assert (right[100:] == 255).all()
    assert (left[100:] == 255).all()


def test_a_page_that_could_not_be_read_says_why() -> None:
    page = Page(0, 0, error="truncated: of 100 bytes")
    with Image.open(io.BytesIO(draw_overlay(page, None))) as image:
        assert _has(np.asarray(image), RED)


def test_a_page_of_one_pixel_is_drawn() -> None:
    assert _drawn(Page(1, 1)).shape[0] == 1 + 28
