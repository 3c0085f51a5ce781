"""Many words in parts, which replicas of the recogniser read at the same time.

Those of like width go together: a batch is as wide as its widest word, and as long to write as its
longest. Of FUNSD's words, halves of like width take as much of a CPU as the whole, halves taken in
turns an eighth more.
"""

import struct
from collections.abc import Sequence
from itertools import accumulate

from ocr_model.image import Pixels

FEWEST_WORDS = 16
"""Of a part: fewer are not read so much sooner as a call costs more."""
SECONDS_APART = 0.003
"""From one part's call to the next: Ray's router chooses for calls that begin at once before it
counts any, and they meet in one replica."""
_USUAL_ASPECT, _MOST_ASPECT = 3.0, 20.0
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE = struct.Struct(">16x2L")
_JPEG_START = b"\xff\xd8"
_JPEG_SEGMENT = struct.Struct(">2BH")  # 0xFF, marker, length
_JPEG_FRAME = struct.Struct(">5x2H")  # behind 0xFF and the marker: height, width
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_MOST_SEGMENTS = 32


def aspect_of(image: bytes | Pixels) -> float:
    """Return width by height, from 1 to 20; a usual one where no header tells it cheaply.

    Only to be fast: the ingress looks at what strangers send, and must not decode any of it.
    """
    height, width = _encoded_size(image) if isinstance(image, bytes) else image.shape[:2]
    if height < 1 or width < 1:
        return _USUAL_ASPECT
    aspect: float = width / height
    return min(max(1.0, aspect), _MOST_ASPECT)


def _encoded_size(data: bytes) -> tuple[int, int]:
    """Return height and width of a PNG or a JPEG, or zeros."""
    if data.startswith(_PNG_START) and len(data) >= _PNG_SIZE.size:
        width, height = _PNG_SIZE.unpack_from(data)
        return height, width
    place = len(_JPEG_START) if data.startswith(_JPEG_START) else len(data)
    for _ in range(_MOST_SEGMENTS):
        if place + 2 + _JPEG_FRAME.size > len(data):
            break
        _, marker, length = _JPEG_SEGMENT.unpack_from(data, place)
        if marker in _JPEG_FRAMES:
            height, width = _JPEG_FRAME.unpack_from(data, place)
            return height, width
        place += 2 + length
    return 0, 0


def like_widths(aspects: Sequence[float], num_parts: int) -> list[list[int]]:
    """Divide words into parts of like width, which have as many columns together.

    Returns:
        Indices of the words of each part, narrow ones first; parts that would be empty are not.
    """
    order = sorted(range(len(aspects)), key=aspects.__getitem__)
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    ends = list(accumulate(aspects[index] for index in order))
    for index, end in zip(order, ends, strict=True):
        middle = end - aspects[index] / 2
        parts[min(num_parts - 1, int(num_parts * middle / ends[-1]))].append(index)
    return [part for part in parts if part]
