"""Words wider than the model was trained for: cut into parts that overlap, and joined again."""

from math import ceil

from ocr_model.decoding.readings import Prediction
from ocr_model.image import ImageGeometry

_SQUEEZED = 1.25  # width beyond the model's by which a word is squeezed rather than cut
_OVERLAP = 1.5  # of two parts, in heights: some three characters
_MOST_PARTS = 64


def part_bounds(height: int, width: int, geometry: ImageGeometry) -> list[tuple[int, int]]:
    """Return where the parts of a word begin and end, in pixels of its image.

    One part is the whole word. A cut letter is whole in the next part, as parts overlap by more
    than a letter's width.
    """
    most = geometry.width * height / geometry.height  # what fills the model's input
    if geometry.fit == "stretch" or width <= _SQUEEZED * most:
        return [(0, width)]
    overlap = min(_OVERLAP * height, most / 2)
    num_parts = min(_MOST_PARTS, ceil((width - overlap) / (most - overlap)))
    pace = (width - most) / (num_parts - 1)
    starts = [round(pace * part) for part in range(num_parts)]
    return [(start, min(width, start + ceil(most))) for start in starts]


def join_parts(parts: list[Prediction], bounds: list[tuple[int, int]]) -> Prediction:
    """Join the readings of parts of one word, from left to right.

    Where two overlap, they are joined at a piece of text that the end of one has in common with
    the beginning of the other: a long one, and near where it should lie by the parts' bounds. The
    confidence is the product of the characters'.
    """
    joined, (left, right) = parts[0], bounds[0]
    pitch = (right - left) / max(1, len(joined.text))
    for part, (next_left, next_right) in zip(parts[1:], bounds[1:], strict=True):
        if part.text:
            pitch = (next_right - next_left) / len(part.text)
        joined = _join(joined, part, (right - next_left) / pitch)
        right = next_right
    return joined


def _join(first: Prediction, second: Prediction, num_shared: float) -> Prediction:
    """Join two readings that have about so many characters in common."""
    end, start = _meeting(first.text, second.text, num_shared)
    scores = first.char_confidences[:end] + second.char_confidences[start:]
    confidence = 1.0
    for score in scores:
        confidence *= score
    text = first.text[:end] + second.text[start:]
    return Prediction(text, confidence if text else 0.0, scores)


def _meeting(first: str, second: str, num_shared: float) -> tuple[int, int]:
    """Return how much of the first text is kept, and how much of the second is left out."""
    reach = ceil(2 * num_shared) + 1
    best, found = 0.0, (len(first), 0)
    for end in range(max(0, len(first) - reach), len(first)):
        for start in range(min(reach, len(second))):
            length = _common_length(first, end, second, start)
            # A long piece is good, and one that makes as many characters shared as expected.
            score = min(length, num_shared) - abs(len(first) - end + start - num_shared)
            if length and score > best:
                best, found = score, (end + length, start + length)
    return found


def _common_length(first: str, end: int, second: str, start: int) -> int:
    length = 0
    while end + length < len(first) and start + length < len(second):
        if first[end + length] != second[start + length]:
            break
        length += 1
    return length
