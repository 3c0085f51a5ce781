"""JPEGs as their markers tell of them, before anything is decoded.

Source: ITU-T T.81, annex B.
"""

import re
import struct

from ocr_model.errors import ImageError
from ocr_model.picture_formats import JPEG_MARK

MOST_SCANS = 50
"""libjpeg writes 10 in colour and 18 in CMYK. Each, of 35 bytes, may cost 18 ms of 16 megapixels;
libtiff's bound for JPEGs within TIFFs is 100."""

MOST_SEGMENTS = 2000
"""Metadata of 100 MB, or tables before each scan. Of empty ones, Pillow takes 11 s for 20 MB."""

_START, _END = b"\xff\xd8", b"\xff\xd9"
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00]")
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")  # not escaped, a restart, or filling
_IMAGE_START, _IMAGE_END, _SCAN = 0xD8, 0xD9, 0xDA
_BASELINE, _ARITHMETIC = 0xC0, frozenset({0xC9, 0xCA})
_TABLES = frozenset({0xC4, 0xDB, 0xDD, 0xFE, 0xE0, *range(0xE2, 0xF0)})  # not 0xE1: EXIF
_SEGMENT = struct.Struct(">BBH")  # 0xFF, marker, length from the length on
_FRAME = struct.Struct(">BHHB")  # bits, height, width, components
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MOST_SEGMENTS_BEFORE_FRAME = 32  # cameras write some ten


def is_plain_jpeg(data: bytes | bytearray, max_pixels: int) -> bool:
    """Return whether it is complete and regular: one scan, baseline, of 8 bits, without EXIF."""
    if not data.startswith(_START) or not data.endswith(_END):
        return False
    place, end = len(_START), len(data) - _SEGMENT.size - _FRAME.size
    has_frame = False
    for _ in range(MOST_SEGMENTS):
        if place >= end:
            break
        prefix, marker, length = _SEGMENT.unpack_from(data, place)
        if prefix == 0xFF and marker == _SCAN:
            next_marker = _MARKER_IN_SCAN.search(data, place + 2)
            return has_frame and next_marker is not None and next_marker.end() == len(data)
        if prefix == 0xFF and marker == _BASELINE and not has_frame:
            bits, height, width, channels = _FRAME.unpack_from(data, place + 4)
            if bits != 8 or channels not in (1, 3) or not 0 < height * width <= max_pixels:
                return False
            has_frame = True
        elif prefix != 0xFF or marker not in _TABLES or length < 2:
            return False  # the decoder must see the size and the tables as they are seen here
        place += 2 + length
    return False


def check_scans(data: bytes | bytearray) -> None:
    """Refuse a JPEG that takes much longer than its pixels tell; what is none passes.

    Each scan goes through all blocks again, however few bytes it has. Markers are found as libjpeg
    finds them: rubbish before them is passed over, and tables may end as a picture of their own.
    Costs 0.2 s for 20 MB of nothing but escaped bytes, 10 ms where 1 of 255 is.

    Raises:
        ImageError: There are too many scans or segments (`too_large`), or it is coded
            arithmetically (`undecodable`), where a scan of 16 megapixels costs 160 ms.
    """
    if not data.startswith(JPEG_MARK):
        return
    place = num_scans = 0
    for _ in range(MOST_SEGMENTS):
        found = _MARKER.search(data, place)
        if found is None:
            return
        place, marker = found.end(), found[1][0]
        if marker == _IMAGE_END and num_scans:
            return
        if marker in _ARITHMETIC:
            raise ImageError("undecodable", "a JPEG with arithmetic coding")
        num_scans += marker == _SCAN
        if num_scans > MOST_SCANS:
            raise ImageError("too_large", f"a JPEG of more than {MOST_SCANS} scans")
        if marker not in (_IMAGE_START, _IMAGE_END):
            place += max(2, int.from_bytes(data[place : place + 2]))
    raise ImageError("too_large", f"a JPEG of more than {MOST_SEGMENTS} segments")


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Return height and width as the frame says, or zeros."""
    place = len(_START) if data.startswith(_START) else len(data)
    for _ in range(_MOST_SEGMENTS_BEFORE_FRAME):
        if place + _SEGMENT.size + _FRAME.size > len(data):
            break
        _, marker, length = _SEGMENT.unpack_from(data, place)
        if marker in _FRAMES:
            _, height, width, _ = _FRAME.unpack_from(data, place + _SEGMENT.size)
            return height, width
        place += 2 + length
    return 0, 0
