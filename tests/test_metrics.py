import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.metrics import CalibrationCounts, ReadingCounts, alphanumeric, count_readings

PAIRS = st.lists(st.tuples(st.text("ab C.", max_size=6), st.text("ab C.", max_size=6)), max_size=6)


def _count(pairs: list[tuple[str, str]]) -> ReadingCounts:
    return count_readings([truth for truth, _ in pairs], [reading for _, reading in pairs])


def test_ratios_are_those_computed_by_hand() -> None:
    # kitten -> sitting has 3 edits; Cat-5 reads right but for case and a dash, 2 edits.
    summary = _count([("kitten", "sitting"), ("Cat-5", "cat5"), ("dog", "dog")]).summary()
    assert summary["word_accuracy"] == pytest.approx(2 / 3)
    assert summary["word_accuracy_exact"] == pytest.approx(1 / 3)
    assert summary["cer"] == pytest.approx(5 / 14)
    assert summary["wer"] == pytest.approx(2 / 3)
    assert summary["ned"] == pytest.approx(((1 - 3 / 7) + (1 - 2 / 5) + 1) / 3)
    # The same character in the same place: itt n, at, dog.
    assert summary["token_accuracy"] == pytest.approx((4 + 2 + 3) / (7 + 5 + 3))


def test_words_within_a_line_are_counted_one_by_one() -> None:
    summary = _count([("the red house", "the bed house")]).summary()
    assert summary["wer"] == pytest.approx(1 / 3)


def test_right_readings_score_one_and_wholly_wrong_ones_zero() -> None:
    right = _count([("house", "house"), ("tree", "tree")]).summary()
    assert right["bleu"] == pytest.approx(100)
    assert (right["word_accuracy"], right["ned"], right["cer"]) == (1, 1, 0)
    wrong = _count([("house", "")]).summary()
    assert (wrong["word_accuracy"], wrong["ned"], wrong["cer"], wrong["bleu"]) == (0, 0, 1, 0)


def test_the_character_error_rate_may_exceed_one() -> None:
    assert _count([("a", "bcd")]).summary()["cer"] == 3


def test_no_reading_is_all_zeros() -> None:
    assert set(count_readings([], []).summary().values()) == {0.0}
    assert set(ReadingCounts().summary().values()) == {0.0}


def test_an_empty_reading_of_an_empty_truth_is_right() -> None:
    summary = _count([("", "")]).summary()
    assert (summary["word_accuracy_exact"], summary["ned"], summary["cer"]) == (1, 1, 0)


def test_as_many_readings_as_truths_are_needed() -> None:
    with pytest.raises(ValueError, match="shorter"):
        count_readings(["a", "b"], ["a"])


@settings(deadline=None, database=None)
@given(PAIRS, PAIRS)
def test_adding_batches_equals_counting_the_whole(
    first: list[tuple[str, str]], second: list[tuple[str, str]]
) -> None:
    added, whole = _count(first) + _count(second), _count(first + second)
    np.testing.assert_allclose(added.to_array(), whole.to_array())
    assert added.summary() == pytest.approx(whole.summary())


def test_counts_come_back_from_their_array() -> None:
    counts = _count([("kitten", "sitting"), ("dog", "dog")])
    assert ReadingCounts.from_array(counts.to_array()) == counts


def test_benchmarks_compare_letters_and_digits_without_case() -> None:
    assert alphanumeric("It’s Café-7!") == "itscafe7"


def test_the_calibration_error_is_that_computed_by_hand() -> None:
    # Bins of 1/15: two words about 0.95 of which one is right, and one at 0.5 that is.
    counts = CalibrationCounts.of([0.94, 0.96, 0.5], [True, False, True])
    assert counts.num_words == 3
    assert counts.error == pytest.approx((abs(1.9 - 1) + 0.5) / 3)
    assert counts.log_loss == pytest.approx(-np.log([0.94, 0.04, 0.5]).mean())


def test_the_surest_and_the_least_sure_are_counted() -> None:
    counts = CalibrationCounts.of([0.0, 1.0], [False, True])
    assert (counts.num_words, counts.error, counts.log_loss) == (2, 0, 0)
    assert np.isfinite(CalibrationCounts.of([0.0, 1.0], [True, False]).log_loss)
    assert CalibrationCounts().error == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=20), st.integers(0, 20))
def test_calibration_of_parts_adds_up_to_that_of_all(
    words: list[tuple[float, bool]], cut: int
) -> None:
    def count(part: list[tuple[float, bool]]) -> CalibrationCounts:
        return CalibrationCounts.of([c for c, _ in part], [r for _, r in part])

    assert (count(words[:cut]) + count(words[cut:])).values == pytest.approx(count(words).values)
