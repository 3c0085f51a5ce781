import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.detection.orientation import (
    UprightFrame,
    begin_upright,
    candidate_turns,
    choose_probes,
    decide_rotation,
    measure_slope,
    plausible_turns,
    turn_corners,
)

HEIGHT, WIDTH = 1000, 760


def _lines(num_words: int = 80, seed: int = 0) -> np.ndarray:
    """Return words of an upright page: four to a line, of 1 to 6 heights."""
    rng = np.random.default_rng(seed)
    rows = np.arange(num_words)
    left = 40 + 170 * (rows % 4) + rng.uniform(0, 20, num_words)
    top = 50 + 35 * (rows // 4)
    width = rng.uniform(18, 110, num_words)
    corners = [left, top, left + width, top, left + width, top + 18, left, top + 18]
    return np.stack(corners, axis=1).reshape(-1, 4, 2).astype(np.float32)


def _seen(quads: np.ndarray, rotation: int, skew: float) -> tuple[np.ndarray, UprightFrame]:
    """Return an upright page's quads as the image has them that must be turned by `rotation`."""
    is_on_side = rotation % 180 == 90
    height, width = (WIDTH, HEIGHT) if is_on_side else (HEIGHT, WIDTH)
    frame = UprightFrame(rotation, skew, height, width)
    return frame.to_image(quads), frame


@pytest.mark.parametrize("skew", [-44.0, -30.0, -7.3, -0.4, 0.0, 1.6, 12.0, 38.0, 44.0])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_slope_and_axis_are_measured_though_words_are_noisy(rotation: int, skew: float) -> None:
    rng = np.random.default_rng(1)
    quads, _ = _seen(_lines(), rotation, skew)
    quads = quads + rng.normal(0, 0.8, quads.shape).astype(np.float32)
    strays = _seen(_lines(12, seed=3), 0, 25.0)[0]
    slope = measure_slope(np.concatenate([quads, strays]))
    assert slope.skew == pytest.approx(skew, abs=0.4)
    assert slope.confidence > 0.6
    assert slope.is_vertical == (rotation in (90, 270))
    assert slope.axis_confidence > 0.5
    turns = candidate_turns(slope)
    assert rotation in turns
    assert len(turns) == 2


def test_the_first_corner_does_not_matter_for_the_slope() -> None:
    quads, _ = _seen(_lines(), 90, 3.0)
    rolled = np.stack([np.roll(quad, number, axis=0) for number, quad in enumerate(quads)])
    assert measure_slope(rolled).skew == pytest.approx(measure_slope(quads).skew)


def test_slopes_that_disagree_have_little_confidence() -> None:
    parts = [
        _seen(_lines(20, seed), 0, float(skew))[0] for seed, skew in enumerate(range(-40, 41, 8))
    ]
    assert measure_slope(np.concatenate(parts)).confidence < 0.3
    assert measure_slope(_lines(1)).confidence < 0.5


def test_words_as_high_as_wide_leave_all_four_turns_open() -> None:
    square = np.array([[[0, 0], [9, 0], [9, 9], [0, 9]]], np.float32)
    for quads in (square, square[:0], np.full((2, 4, 2), math.nan, np.float32)):
        slope = measure_slope(quads)
        assert (slope.skew, slope.confidence, slope.axis_confidence) == (0, 0, 0)
        assert candidate_turns(slope) == (0, 180, 270, 90)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from([0, 90, 180, 270]),
    st.floats(-45, 45),
    st.lists(st.floats(-500, 3000, width=32), min_size=8, max_size=8),
    st.integers(1, 4000),
    st.integers(1, 4000),
)
def test_turning_upright_and_back_gives_the_same_corners(
    rotation: int, skew: float, values: list[float], height: int, width: int
) -> None:
    quads = np.array(values, np.float32).reshape(1, 4, 2)
    frame = UprightFrame(rotation, skew, height, width)
    assert np.abs(frame.to_image(frame.from_image(quads)) - quads).max() < 0.01
    assert np.abs(frame.from_image(frame.to_image(quads)) - quads).max() < 0.01
    whole = np.rint(quads)
    level = UprightFrame(rotation, 0.0, height, width)
    assert (level.to_image(level.from_image(whole)) == whole).all()


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_frame_turns_corners_as_numpy_turns_pixels(rotation: int) -> None:
    image = np.zeros((5, 8), int)
    image[1, 6] = 1
    frame = UprightFrame(rotation, 0.0, 5, 8)
    upright = np.rot90(image, -rotation // 90)
    assert frame.size == upright.shape
    pixel = np.array([[[6, 1], [7, 1], [7, 2], [6, 2]]], np.float32)
    row, column = np.argwhere(upright)[0]
    assert frame.from_image(pixel)[0].min(axis=0).tolist() == [column, row]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("skew", [-40.0, 0.0, 5.0])
def test_quads_begin_at_the_upper_left_of_the_upright_page(rotation: int, skew: float) -> None:
    upright = _lines(8)
    quads, frame = _seen(upright, rotation, skew)
    mixed = np.stack([np.roll(quad, number, axis=0) for number, quad in enumerate(quads)])
    assert np.abs(begin_upright(mixed, frame) - quads).max() == 0
    assert begin_upright(mixed[:0], frame).shape == (0, 4, 2)


def test_probes_are_long_words_spread_over_the_page() -> None:
    quads = _lines(400)
    quads[:, :, 1] *= 0.25
    quads[17] = math.nan
    chosen = choose_probes(quads)
    assert len(set(chosen)) == len(chosen) == 12
    assert 17 not in chosen
    widths = quads[:, 1, 0] - quads[:, 0, 0]
    assert np.mean(widths[chosen]) > np.nanmean(widths)
    middles = quads[chosen].mean(axis=1)
    assert np.ptp(middles[:, 0]) > 400
    assert np.ptp(middles[:, 1]) > 400


def test_probes_are_all_words_of_a_short_page_and_none_of_an_empty_one() -> None:
    assert sorted(choose_probes(_lines(5))) == [0, 1, 2, 3, 4]
    assert choose_probes(_lines(0)) == []
    assert choose_probes(np.zeros((3, 4, 2), np.float32)) == []


def test_rotation_is_where_more_characters_are_surely_read() -> None:
    upright, upside_down = [6.1, 4.0, 7.2, 0.9, 5.5], [0.8, 1.1, 0.7, 1.0, 0.4]
    sure = decide_rotation({0: upside_down, 180: upright})
    assert sure.degrees == 180
    assert sure.confidence > 0.95
    unsure = decide_rotation({0: [0.6, 0.5], 180: [0.5, 0.6]})
    assert unsure.confidence == pytest.approx(0.5)
    of_four = decide_rotation({turn: [1.0, 2.0] for turn in (90, 270, 0, 180)})
    assert of_four.degrees == 90
    assert of_four.confidence == pytest.approx(0.25)


def test_nothing_tried_has_no_confidence() -> None:
    assert decide_rotation({}).confidence == 0
    assert decide_rotation({0: [], 180: []}) == decide_rotation({0: [0.9]})
    with pytest.raises(ValueError, match="1 and 2 words"):
        decide_rotation({0: [0.9], 180: [0.9, 0.8]})


def test_a_high_quad_is_a_line_on_its_side_unless_it_is_as_high_as_words_around() -> None:
    letter = np.array([[[0, 0], [5, 0], [5, 18], [0, 18]]], np.float32)
    tall = np.array([[[0, 0], [20, 0], [20, 120], [0, 120]]], np.float32)
    on_page = plausible_turns(np.concatenate([_lines(40), letter, tall]))
    assert on_page == [(0,)] * 41 + [(0, 90, 270)]
    assert plausible_turns(letter) == [(0, 90, 270)]  # nothing says which
    assert plausible_turns(letter[:0]) == []


def test_turned_corners_begin_where_reading_of_the_turned_crop_does() -> None:
    quad = np.array([[[0, 0], [2, 0], [2, 9], [0, 9]]], np.float32)
    assert turn_corners(quad, 90)[0, 0].tolist() == [0, 9]
    assert turn_corners(quad, 270)[0, 0].tolist() == [2, 0]
    assert (turn_corners(turn_corners(quad, 90), 270) == quad).all()
