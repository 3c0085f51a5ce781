import cv2
import numpy as np
import pytest

from ocr_model.inference.word_gaps import find_gaps

_FONT, _BASELINE = cv2.FONT_HERSHEY_DUPLEX, 45


def _drawn(text: str, noise: float = 0.0) -> tuple[np.ndarray, list[float]]:
    """A line of text, and how far each of its words reaches, as shares of the width."""
    (width, _), _ = cv2.getTextSize(text, _FONT, 1.4, 2)
    crop = np.full((60, width + 20, 3), 255, np.uint8)
    cv2.putText(crop, text, (10, _BASELINE), _FONT, 1.4, (0, 0, 0), 2)
    draws = np.random.default_rng(0)
    crop = np.clip(crop + draws.normal(0, noise, crop.shape), 0, 255).astype(np.uint8)
    ends = [place for place, character in enumerate(text) if character == " "]
    reach = [10 + cv2.getTextSize(text[:end], _FONT, 1.4, 2)[0][0] for end in ends]
    return crop, [end / crop.shape[1] for end in reach]


@pytest.mark.parametrize("noise", [0.0, 12.0])
@pytest.mark.parametrize("text", ["HOTEL Paris", "III WWWWWW", "a 1 mm iii", "TO BE OR NOT TO BE"])
def test_gaps_are_where_words_end_whatever_the_widths_of_characters(
    text: str, noise: float
) -> None:
    crop, ends = _drawn(text, noise)
    for (start, stop), end in zip(find_gaps(crop, text), ends, strict=True):
        assert abs(start - end) * crop.shape[1] < 8
        assert start < stop


def test_dark_and_bright_text_have_the_same_gaps() -> None:
    crop, _ = _drawn("Room 1805")
    assert find_gaps(crop, "Room 1805") == find_gaps(255 - crop, "Room 1805")


def test_where_no_gap_is_seen_characters_share_the_width() -> None:
    blank = np.full((60, 90, 3), 200, np.uint8)
    assert find_gaps(blank, "ab c  d") == [(2 / 7, 3 / 7), (4 / 7, 5 / 7), (5 / 7, 6 / 7)]


def test_a_text_without_spaces_has_no_gaps() -> None:
    assert find_gaps(np.zeros((60, 90, 3), np.uint8), "word") == []
