import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.detection.scoring import DetectionCounts, count_detections


def _boxes(*boxes: tuple[float, float, float, float]) -> np.ndarray:
    quads = [[[a, b], [c, b], [c, d], [a, d]] for a, b, c, d in boxes]
    return np.array(quads, np.float32).reshape(-1, 4, 2)


def _count(truths: np.ndarray, found: np.ndarray, *ignored: int) -> DetectionCounts:
    is_ignored = np.isin(np.arange(len(truths)), ignored)
    return count_detections(truths, found, is_ignored)


def test_what_is_found_exactly_is_all_right() -> None:
    boxes = _boxes((0, 0, 10, 5), (20, 0, 30, 5))
    assert _count(boxes, boxes).summary() == {"precision": 1.0, "recall": 1.0, "hmean": 1.0}


def test_half_of_the_union_is_not_enough() -> None:
    truth = _boxes((0, 0, 10, 10))
    assert _count(truth, _boxes((0, 0, 10, 5))).num_matches == 0
    assert _count(truth, _boxes((0, 0, 10, 5.2))).num_matches == 1


def test_two_boxes_on_one_word_count_once() -> None:
    counts = _count(_boxes((0, 0, 10, 5)), _boxes((0, 0, 10, 5), (0, 0, 9, 5)))
    assert counts == DetectionCounts(1.0, 2.0, 1.0)


def test_a_box_over_two_words_finds_neither() -> None:
    counts = _count(_boxes((0, 0, 10, 5), (11, 0, 21, 5)), _boxes((0, 0, 21, 5)))
    assert counts == DetectionCounts(2.0, 1.0, 0.0)


def test_the_best_match_is_taken_first() -> None:
    truths = _boxes((0, 0, 10, 10), (0, 3, 10, 13))
    found = _boxes((0, 2.5, 10, 12.5), (0, 0, 10, 9))
    assert _count(truths, found).num_matches == 2


def test_what_nobody_could_read_counts_neither_way() -> None:
    truths = _boxes((0, 0, 10, 5), (50, 50, 80, 80))
    found = _boxes((0, 0, 10, 5), (51, 51, 60, 60), (70, 70, 90, 90))
    assert _count(truths, found, 1) == DetectionCounts(1.0, 2.0, 1.0)


def test_slanted_boxes_are_compared_as_they_are() -> None:
    diamond = np.array([[[5, 0], [10, 5], [5, 10], [0, 5]]], np.float32)
    assert _count(diamond, diamond).num_matches == 1
    assert _count(diamond, _boxes((0, 0, 10, 10))).num_matches == 0


@pytest.mark.parametrize("num_found", [0, 2])
def test_a_page_without_words_has_no_recall(num_found: int) -> None:
    counts = _count(_boxes(), _boxes(*[(0, 0, 5, 5)] * num_found))
    assert counts == DetectionCounts(0.0, float(num_found), 0.0)
    assert counts.summary() == {"precision": 0.0, "recall": 0.0, "hmean": 0.0}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(0, 12))
def test_counts_add_up_and_do_not_depend_on_the_order(seed: int, m: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (m + n, 2))
    sides = rng.uniform(1, 20, (m + n, 2))
    boxes = _boxes(*np.hstack([corners, corners + sides]).tolist())
    truths, found = boxes[:m], boxes[m:]
    counts = _count(truths, found)
    assert counts.num_matches <= min(m, n)
    assert _count(truths[::-1].copy(), found[::-1].copy()) == counts
    assert DetectionCounts(*(counts + counts).to_array()) == DetectionCounts(
        2.0 * m, 2.0 * n, 2 * counts.num_matches
    )
