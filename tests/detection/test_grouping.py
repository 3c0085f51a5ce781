import numpy as np
from easyocr.utils import group_text_box
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.detection.grouping import FoundLines, LineConfig, group_lines

STRICT = LineConfig(
    slope_ths=0.05, ycenter_ths=0.3, height_ths=0.2, width_ths=1.5, add_margin=0.2, min_size=0
)


def rectangles(draws: np.random.Generator, num_words: int) -> np.ndarray:
    """Quadrilaterals of words in loose rows, some slanting."""
    heights = draws.integers(8, 40, num_words)
    sizes = np.stack([heights * draws.uniform(0.5, 7, num_words), heights], axis=1)
    middles = np.stack([draws.uniform(0, 900, num_words), draws.integers(0, 9, num_words) * 30.0])
    middles[1] += draws.normal(0, 4, num_words)
    angles = draws.choice([0, 0, 0, 0.04, -0.2, 0.9], num_words)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2 * sizes[:, None]
    turns = np.array([[np.cos(angles), np.sin(angles)], [-np.sin(angles), np.cos(angles)]])
    return (corners @ turns.transpose(2, 0, 1) + middles.T[:, None]).astype(np.float32)


def easyocr_lines(quads: np.ndarray, config: LineConfig) -> tuple[np.ndarray, np.ndarray]:
    level, slanting = group_text_box(
        [quad.astype(np.int32).reshape(-1) for quad in quads],
        **config.model_dump(exclude={"min_size"}),
    )
    level = np.array(level).reshape(-1, 4)[:, [[0, 2], [1, 2], [1, 3], [0, 3]]]
    return level, np.array(slanting).reshape(-1, 4, 2)


def longer_sides(quads: np.ndarray) -> np.ndarray:
    return np.ptp(quads, axis=1).max(axis=1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_words=st.integers(0, 60),
    config=st.sampled_from([LineConfig(), STRICT]),
)
def test_lines_are_easyocrs(seed: int, num_words: int, config: LineConfig) -> None:
    quads = rectangles(np.random.default_rng(seed), num_words)
    found = group_lines(quads, config)
    parts = found.quads[: found.num_level], found.quads[found.num_level :]
    for part, expected in zip(parts, easyocr_lines(quads, config), strict=True):
        large = expected[longer_sides(expected) > config.min_size] if config.min_size else expected
        np.testing.assert_allclose(part, large, rtol=1e-6, atol=1e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_word_is_in_one_line_which_holds_it(seed: int) -> None:
    quads = rectangles(np.random.default_rng(seed), 40)
    found = group_lines(quads, STRICT)
    assert sorted(np.concatenate(found.words).tolist()) == list(range(40))
    for line, words in zip(found.quads, found.words, strict=True):
        assert (quads[words].min(axis=(0, 1)) + 1 >= line.min(axis=0)).all()
        assert (quads[words].max(axis=(0, 1)) - 1 <= line.max(axis=0)).all()


def _texts(found: FoundLines) -> list[list[int]]:
    return [words.tolist() for words in found.words]


def test_words_are_listed_from_left_to_right_and_small_lines_left_out() -> None:
    def box(left: float, top: float, width: float, height: float) -> list[list[float]]:
        right, bottom = left + width, top + height
        return [[left, top], [right, top], [right, bottom], [left, bottom]]

    quads = np.float32([box(60, 11, 40, 20), box(10, 10, 45, 20), box(200, 12, 9, 9)])
    assert _texts(group_lines(quads)) == [[1, 0]]
    assert _texts(group_lines(quads, LineConfig(min_size=0))) == [[1, 0], [2]]


def test_no_words_make_no_lines() -> None:
    found = group_lines(np.zeros((0, 4, 2), np.float32))
    assert found == FoundLines(found.quads, (), 0)
    assert found.quads.shape == (0, 4, 2)
