import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.config import load_config
from ocr_model.data.synthetic.pages import PageConfig, render_page
from ocr_model.detection.orientation import UprightFrame, measure_slope
from ocr_model.detection.reading_order import order_words

H = 14.0


def _box(left: float, top: float, width: float, height: float = H) -> np.ndarray:
    right, bottom = left + width, top + height
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def _line(left: float, top: float, widths: list[float], gap: float = 5.0) -> list[np.ndarray]:
    boxes = []
    for width in widths:
        boxes.append(_box(left, top, width))
        left += width + gap
    return boxes


def _column(left: float, top: float, num_lines: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        box
        for number in range(num_lines)
        for box in _line(left, top + 20.0 * number, rng.uniform(25, 45, 6).tolist())
    ]


def _lines(boxes: list[np.ndarray], seed: int = 0) -> list[list[int]]:
    """Shuffle, order, and return the lines as places in `boxes`."""
    shuffled = np.random.default_rng(seed).permutation(len(boxes))
    quads = np.array(boxes, np.float32)[shuffled]
    return [
        [int(shuffled[word]) for word in line]
        for block in order_words(quads)
        for line in block.lines
    ]


def _flat(lines: list[list[int]]) -> list[int]:
    return [word for line in lines for word in line]


@pytest.mark.parametrize("offset", [0.0, 9.0])
def test_columns_are_read_one_after_the_other_below_their_headline(offset: float) -> None:
    head = _line(150, 10, [90, 120, 100])
    columns = _column(30, 60, 12) + _column(360, 60 + offset, 12, seed=1)
    foot = _line(30, 330, [80, 70, 90, 100, 90])
    boxes = head + columns + foot
    assert _flat(_lines(boxes)) == list(range(len(boxes)))


def test_three_columns_are_read_from_left_to_right() -> None:
    boxes = [box for place in range(3) for box in _column(30 + 330.0 * place, 40, 9, seed=place)]
    lines = _lines(boxes)
    assert _flat(lines) == list(range(len(boxes)))
    assert len(lines) == 27


def test_an_item_and_its_price_are_one_line() -> None:
    boxes = []
    for row in range(10):
        boxes += _line(20, 40.0 + 18 * row, [60.0] * (1 + row % 3))
        boxes.append(_box(400, 41.0 + 18 * row, 40))
    lines = _lines(boxes)
    assert _flat(lines) == list(range(len(boxes)))
    assert len(lines) == 10


def test_labels_are_followed_by_their_values() -> None:
    boxes = []
    for row in range(5):
        boxes += _line(20, 40.0 + 40 * row, [50, 40])
        boxes += _line(160, 38.0 + 40 * row, [70, 30])
        boxes += _line(360, 41.0 + 40 * row, [50])
        boxes += _line(470, 40.0 + 40 * row, [60])
    assert [len(line) for line in _lines(boxes)] == [6] * 5
    assert _flat(_lines(boxes)) == list(range(30))


def test_a_table_is_read_by_rows() -> None:
    boxes = [_box(30 + 110.0 * x, 30 + 22.0 * y, 30 + 7 * ((x + y) % 6)) for y in range(20)
             for x in range(6)]  # fmt: skip
    assert [len(line) for line in _lines(boxes)] == [6] * 20
    assert _flat(_lines(boxes)) == list(range(120))


def test_lines_that_curve_or_slope_a_little_stay_whole() -> None:
    curved = []
    for box in _column(20, 40, 12):
        x = box[:, 0] - 120
        curved.append(np.stack([box[:, 0], box[:, 1] + 25 * (x / 120) ** 2 + 0.03 * x], axis=1))
    lines = _lines(curved)
    assert [len(line) for line in lines] == [6] * 12
    assert _flat(lines) == list(range(72))


def test_prices_stay_on_their_lines_though_upright_boxes_hide_the_slope() -> None:
    boxes = []
    for row in range(10):
        price = _box(700, 30.0 + 16 * row, 40)
        level = [*_line(20, 30.0 + 16 * row, [60.0] * 4), price]
        boxes += [box + np.array([0, 0.04 * box[:, 0].mean()]) for box in level]
    assert [len(line) for line in _lines(boxes)] == [5] * 10
    assert _flat(_lines(boxes)) == list(range(50))


def test_a_number_on_its_side_in_the_margin_is_a_line_of_its_own() -> None:
    boxes = [*_column(30, 40, 5), _box(320, 45, 14, 90)]
    assert sorted(map(len, _lines(boxes))) == [1, 6, 6, 6, 6, 6]


def test_paragraphs_and_headings_are_blocks_of_their_own() -> None:
    heading = [_box(30, 10, 200, 30)]
    boxes = heading + _column(30, 60, 3) + _column(30, 160, 3)
    blocks = order_words(np.array(boxes, np.float32))
    assert [len(block.lines) for block in blocks] == [1, 3, 3]


def test_no_words_are_no_blocks_and_one_word_is_one() -> None:
    assert order_words(np.zeros((0, 4, 2), np.float32)) == ()
    (block,) = order_words(_box(3, 4, 5)[None].astype(np.float32))
    assert block.lines == ((0,),)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 400, width=32),
            st.floats(0, 400, width=32),
            st.floats(0, 300, width=32),
            st.floats(0, 100, width=32),
            st.floats(-3, 3),
        ),
        max_size=60,
    ),
    st.sampled_from([0.0, math.nan, math.inf, -1e30]),
)
def test_every_word_is_in_one_line_whatever_the_quads(
    values: list[tuple[float, ...]], corner: float
) -> None:
    quads = np.zeros((len(values), 4, 2), np.float32)
    for quad, (left, top, width, height, slope) in zip(quads, values, strict=True):
        quad[:] = _box(left, top, width, height)
        quad[1:3, 1] += slope * width
    if corner and len(quads):
        quads[0, 0, 0] = corner
    order = [word for block in order_words(quads) for line in block.lines for word in line]
    assert sorted(order) == list(range(len(quads)))


def test_rendered_pages_are_read_nearly_as_they_were_written() -> None:
    config = load_config(
        PageConfig,
        None,
        [
            "fonts.system=false", "lexicon.size=5000", "page_side.least=600", "page_side.most=700",
            "kinds.scene=0", "kinds.form=0",
        ],
    )  # fmt: skip
    found = total = 0
    for number in range(12):
        page = render_page(config, 0, number, is_validation=False)
        quads = np.stack([word.quad for word in page.words])
        frame = UprightFrame(0, measure_slope(quads).skew, *page.pixels.shape[:2])
        blocks = order_words(frame.from_image(quads))
        order = [word for block in blocks for line in block.lines for word in line]
        found += sum(b == a + 1 for a, b in pairwise(order))
        total += len(order) - 1
    assert found > 0.97 * total
