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
"""Of a part, on the average: fewer are not read so much sooner as a call costs more."""
SECONDS_APART = 0.003
"""From one part's call to the next: Ray's router chooses for calls that begin at once before it
counts any, and they meet in one replica."""
_USUAL_ASPECT = 3.0  # of a word of five letters
_MOST_ASPECT = 20.0  # longer ones are read in parts, and a header may lie
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE = struct.Struct(">16x2L")
_JPEG_START = b"\xff\xd8"
_JPEG_SEGMENT = struct.Struct(">2BH")  # 0xFF, marker, length
_JPEG_FRAME = struct.Struct(">5x2H")  # 0xFF, marker, length and bits, then height and width
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_MOST_SEGMENTS = 32  # before the frame; cameras write some ten


def size_of(image: bytes | Pixels) -> tuple[int, int]:
    """Return height and width, of what is encoded if it is a PNG or a JPEG, else zeros.

    The ingress looks at what strangers send, and must not decode any of it: 1 to 2 µs.
    """
    if not isinstance(image, bytes):
        return image.shape[0], image.shape[1]
    if image.startswith(_PNG_START) and len(image) >= _PNG_SIZE.size:
        width, height = _PNG_SIZE.unpack_from(image)
        return height, width
    place = len(_JPEG_START) if image.startswith(_JPEG_START) else len(image)
    for _ in range(_MOST_SEGMENTS):
        if place + _JPEG_FRAME.size > len(image):
            break
        _, marker, length = _JPEG_SEGMENT.unpack_from(image, place)
        if marker in _JPEG_FRAMES:
            height, width = _JPEG_FRAME.unpack_from(image, place)
            return height, width
        place += 2 + length
    return 0, 0


def aspect_of(size: tuple[int, int]) -> float:
    """Return the longer side by the shorter, up to 20: a word that stands may be read turned.

    Of a size that is not known, a usual one.
    """
    shorter, longer = sorted(size)
    return min(longer / shorter, _MOST_ASPECT) if shorter > 0 else _USUAL_ASPECT


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
