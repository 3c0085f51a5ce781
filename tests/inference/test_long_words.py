from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.decoding.readings import Prediction
from ocr_model.image import ImageGeometry
from ocr_model.inference.long_words import join_parts, part_bounds

PADDED = ImageGeometry(width=128, fit="pad")


def _reading(text: str) -> Prediction:
    return Prediction(text, 0.9 ** len(text), (0.9,) * len(text))


@pytest.mark.parametrize("width", [10, 128, 150])
def test_a_word_that_fits_or_nearly_fits_is_one_part(width: int) -> None:
    assert part_bounds(32, width, PADDED) == [(0, width)]
    assert part_bounds(32, 9999, ImageGeometry()) == [(0, 9999)]


@given(height=st.integers(4, 200), aspect=st.floats(5.7, 90))
def test_parts_cover_the_word_and_overlap_by_more_than_a_letter(height: int, aspect: float) -> None:
    width = round(height * aspect)
    bounds = part_bounds(height, width, PADDED)
    assert bounds[0][0] == 0
    assert bounds[-1][1] == width
    assert len(bounds) > 1
    for (left, right), (next_left, _) in pairwise(bounds):
        assert right - left <= 4 * height + 1
        assert right - next_left >= 1.4 * height - 2


@settings(max_examples=300)
@given(
    text=st.text("abcdefghijklmnopqrstuvwxyz", min_size=25, max_size=80),
    seed=st.integers(0, 1000),
)
def test_parts_with_a_cut_letter_at_each_end_join_to_the_word(text: str, seed: int) -> None:
    """Letters 12 pixels wide, 128 pixels per part, and rubbish where a letter is cut."""
    pitch, height = 12, 32
    width = pitch * len(text)
    bounds = part_bounds(height, width, PADDED)
    rng = np.random.default_rng(seed)
    parts = []
    for left, right in bounds:
        first, last = -(-left // pitch), right // pitch
        ends = [
            "" if at % pitch == 0 or rng.random() < 0.5 else str(rng.choice(list("ilj1")))
            for at in (left, right)
        ]
        parts.append(_reading(ends[0] + text[first:last] + ends[1]))
    joined = join_parts(parts, bounds)
    is_ambiguous = any(text[i : i + 2] in text[i + 1 : i + 5] for i in range(len(text) - 1))
    if not is_ambiguous:
        assert joined.text == text
    assert len(joined.char_confidences) == len(joined.text)
    assert joined.confidence == pytest.approx(0.9 ** len(joined.text))


def test_repeated_letters_are_joined_by_where_they_lie() -> None:
    bounds = part_bounds(32, 12 * 20, PADDED)
    parts = [_reading("1" * round((right - left) / 12)) for left, right in bounds]
    assert abs(len(join_parts(parts, bounds).text) - 20) <= 1


def test_an_empty_part_leaves_the_others() -> None:
    bounds = [(0, 128), (80, 208)]
    assert join_parts([_reading("abc"), _reading("")], bounds).text == "abc"
    assert join_parts([_reading(""), _reading("abc")], bounds).text == "abc"
    assert join_parts([_reading(""), _reading("")], bounds).confidence == 0
