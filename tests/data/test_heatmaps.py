import math
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.data.heatmaps import (
    Heat,
    SpacedWord,
    draw_heat,
    space_by_ink,
    space_evenly,
)


def _quad(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


def _slow_heat(words: list[SpacedWord], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Evaluate the definition at every cell, for every character and gap."""
    region, affinity = np.zeros((2, height, width))
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    for word in words:
        matrix = cv2.getPerspectiveTransform(word.quad, unit)
        middles = [(a + b) / 2 for a, b in pairwise(word.edges)]
        lengths = np.diff(word.edges).tolist()
        boxes = [(region, m, length, 1.0) for m, length in zip(middles, lengths, strict=True)]
        for first, second in pairwise(middles):
            boxes.append((affinity, (first + second) / 2, second - first, 2 / 3))
        sides = [
            (math.dist(*word.quad[[a, a + 1]]) + math.dist(*word.quad[[a + 2, (a + 3) % 4]])) / 2
            for a in (0, 1)
        ]
        for y in range(height):
            for x in range(width):
                place = np.array([[[x + 0.5, y + 0.5]]], np.float64)
                along, across = cv2.perspectiveTransform(place, matrix)[0, 0].tolist()
                for target, middle, length, tall in boxes:
                    u = (along - middle) / max(length, 2.5 / sides[0])
                    v = (across - 0.5) / max(tall, 2.5 / sides[1])
                    if abs(u) <= 0.75 and abs(v) <= 0.75:
                        heat = math.exp(-8 * (u * u + v * v))
                        target[y, x] = max(target[y, x], heat)
    return region, affinity


WORDS = {
    "upright": SpacedWord(_quad(4, 6, 28, 14), np.array([0, 0.2, 0.6, 1], np.float32)),
    "one character": SpacedWord(_quad(10, 8, 14, 15), np.array([0, 1], np.float32)),
    "tiny": SpacedWord(_quad(7.3, 6, 12.1, 8.2), np.array([0, 0.3, 0.5, 1], np.float32)),
    "half outside": SpacedWord(_quad(-12, 3, 9, 11), np.array([0, 0.4, 0.5, 1], np.float32)),
    "slanted": SpacedWord(
        np.array([[5, 10], [26, 2], [29, 11], [7, 18]], np.float32),
        np.array([0, 0.25, 0.5, 0.75, 1], np.float32),
    ),
    "upside down": SpacedWord(
        np.roll(_quad(4, 6, 28, 14), 2, axis=0), np.array([0, 0.3, 1], np.float32)
    ),
}


@pytest.mark.parametrize("name", WORDS)
def test_heat_is_what_its_definition_says(name: str) -> None:
    heat = draw_heat([WORDS[name]], [], 20, 32)
    region, affinity = _slow_heat([WORDS[name]], 20, 32)
    np.testing.assert_allclose(heat.region, region, atol=2e-3)
    np.testing.assert_allclose(heat.affinity, affinity, atol=2e-3)
    assert heat.is_known.all()


def test_of_words_that_overlap_the_hotter_counts() -> None:
    words = [WORDS["upright"], WORDS["slanted"]]
    both = draw_heat(words, [], 20, 32)
    one, other = (draw_heat([word], [], 20, 32) for word in words)
    np.testing.assert_array_equal(both.region, np.maximum(one.region, other.region))


def test_a_single_character_has_no_affinity() -> None:
    heat = draw_heat([WORDS["one character"]], [], 20, 32)
    assert heat.region.max() > 0.8
    assert not heat.affinity.any()


@pytest.mark.parametrize("left", [7.0, 7.25, 7.5, 7.75])
def test_the_narrowest_character_is_hot_wherever_it_stands(left: float) -> None:
    word = SpacedWord(_quad(left, 6, left + 1, 11), np.array([0, 1], np.float32))
    assert draw_heat([word], [], 20, 32).region.max() > 0.65


def test_nothing_is_known_where_nobody_could_read() -> None:
    heat = draw_heat([], [_quad(4, 6, 8, 10)], 20, 32)
    assert not heat.is_known[6:10, 4:8].any()
    assert heat.is_known[12:].all()
    assert heat.is_known[:, 12:].all()


@pytest.mark.parametrize("quad", [np.zeros((4, 2), np.float32), _quad(5, 5, 20, 5)])
def test_a_word_without_area_is_left_out(quad: np.ndarray) -> None:
    heat = draw_heat([SpacedWord(quad, np.array([0, 0.5, 1], np.float32))], [], 20, 32)
    assert np.isfinite(heat.region).all()
    assert not heat.affinity.any()


def test_characters_meet_halfway_between_their_ink() -> None:
    chars = np.stack([_quad(0, 2, 4, 8), _quad(6, 0, 8, 8), _quad(8, 0, 20, 8)])
    word = space_by_ink(_quad(0, 0, 20, 8), chars)
    np.testing.assert_allclose(word.edges, [0, 0.25, 0.4, 1], atol=1e-6)


def test_words_of_a_line_are_divided_at_its_spaces() -> None:
    first, second = space_evenly(_quad(0, 0, 50, 8), "ab cd")
    np.testing.assert_allclose(first.edges, [0, 0.2, 0.4])
    np.testing.assert_allclose(second.edges, [0.6, 0.8, 1])
    assert space_evenly(_quad(0, 0, 9, 9), " ") == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-50, 80), st.floats(-50, 80)), min_size=4, max_size=4),
    st.integers(1, 12),
)
def test_any_four_corners_give_heat_between_zero_and_one(
    corners: list[tuple[float, float]], num_chars: int
) -> None:
    edges = np.linspace(0, 1, num_chars + 1, dtype=np.float32)
    heat: Heat = draw_heat([SpacedWord(np.array(corners, np.float32), edges)], [], 24, 40)
    for values in (heat.region, heat.affinity):
        assert np.isfinite(values).all()
        assert values.min() >= 0
        assert values.max() <= 1
