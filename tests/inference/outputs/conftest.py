"""Pages that every format has to hold."""

from collections.abc import Callable

import numpy as np
import pytest

from ocr_model.inference.pages import Block, Line, Page, Quad, Word


def quad(x: float, y: float, width: float, height: float, degrees: float = 0.0) -> Quad:
    """Return a rectangle turned clockwise about the corner where reading begins."""
    turn = np.deg2rad(degrees)
    along, down = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    corners = [
        np.array([x, y]) + a * width * along + b * height * down
        for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))
    ]
    points = tuple((round(float(px), 4), round(float(py), 4)) for px, py in corners)
    return points  # type: ignore[return-value]  # of four


def line(text: str, x: float, y: float, degrees: float = 0.0, confidence: float = 0.9) -> Line:
    """Return a line of words, 10 pixels for a character, 16 high."""
    turn, words, start = np.deg2rad(degrees), [], 0
    for part in text.split(" "):
        left = (x + 10 * start * float(np.cos(turn)), y + 10 * start * float(np.sin(turn)))
        polygon = quad(*left, 10 * len(part), 16, degrees)
        words.append(Word(part, confidence, (confidence,) * len(part), polygon))
        start += len(part) + 1
    return Line(tuple(words), quad(x, y, 10 * (start - 1), 16, degrees))


def page(*blocks: list[Line], number: int = 1, source: str = "scan.png") -> Page:
    """Return a page of 600x400 pixels."""
    whole = quad(0, 0, 600, 400)
    return Page(
        600, 400, tuple(Block(tuple(b), whole) for b in blocks), number=number, source=source
    )


@pytest.fixture
def make_line() -> Callable[..., Line]:
    return line


@pytest.fixture
def make_page() -> Callable[..., Page]:
    return page


@pytest.fixture
def document() -> list[Page]:
    """Return two columns with turned words and odd characters, an error, a page upside down."""
    left = [line("Größe: 5 €", 20, 40), line("漢字 naïve ﬁne", 20, 70), line('<a> & "b"', 20, 100)]
    right = [line("second column", 320, 40), line("goes on", 320, 70)]
    turned = [line("uphill road", 60, 330, -30, 0.7), line("downward", 560, 150, 90, 0.3)]
    first = page(left, right, turned)
    broken = Page(0, 0, number=2, source="scan.png", error="truncated: of 100 bytes")
    last = Page(
        600,
        400,
        (Block((line("upside down", 500, 300, 180),), quad(500, 300, 110, 16, 180)),),
        number=3,
        source="scan.png",
        rotation=180,
        rotation_confidence=0.8,
        skew=1.5,
        skew_confidence=0.9,
        seconds={"detect": 0.25},
        warnings=("too_many_boxes: 3 left out",),
    )
    return [first, broken, last]
