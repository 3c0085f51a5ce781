"""Many words in parts, which replicas of the recogniser read at the same time.

Those of like width go together: a batch is as wide as its widest word, and as long to write as its
longest. Of FUNSD's words, halves of like width take as much of a CPU as the whole, halves taken in
turns an eighth more.
"""

from collections.abc import Sequence
from itertools import accumulate

from ocr_model.image import Pixels, size_in_header

FEWEST_WORDS = 16
"""Of a part, on the average: fewer are not read so much sooner as a call costs more."""
SECONDS_APART = 0.003
"""From one part's call to the next: Ray's router chooses for calls that begin at once before it
counts any, and they meet in one replica."""
_USUAL_ASPECT = 3.0  # of a word of five letters
_MOST_ASPECT = 20.0  # longer ones are read in parts, and a header may lie


def num_parts(num_words: int, num_replicas: int) -> int:
    """Return in how many parts so many replicas read so many words."""
    return max(1, min(num_replicas, num_words // FEWEST_WORDS))


def size_of(image: bytes | Pixels) -> tuple[int, int]:
    """Return height and width, of what is encoded if it is a PNG or a JPEG, else zeros."""
    if isinstance(image, bytes):
        return size_in_header(image)
    return image.shape[0], image.shape[1]


def aspect_of(size: tuple[int, int]) -> float:
    """Return the longer side by the shorter, up to 20: a word that stands may be read turned.

    Of a size that is not known, a usual one.
    """
    shorter, longer = sorted(size)
    return min(longer / shorter, _MOST_ASPECT) if shorter > 0 else _USUAL_ASPECT


def like_widths(aspects: Sequence[float], number: int) -> list[list[int]]:
    """Divide words into a number of parts of like width, which have as many columns together.

    Returns:
        Indices of the words of each part, narrow ones first; parts that would be empty are not.
    """
    order = sorted(range(len(aspects)), key=aspects.__getitem__)
    parts: list[list[int]] = [[] for _ in range(number)]
    ends = list(accumulate(aspects[index] for index in order))
    for index, end in zip(order, ends, strict=True):
        middle = end - aspects[index] / 2
        parts[min(number - 1, int(number * middle / ends[-1]))].append(index)
    return [part for part in parts if part]
