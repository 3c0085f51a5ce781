"""Directories of a TIFF, gone through before Pillow loads them.

Pillow loads each twice, and looks for it in a list of those before.
Source: TIFF 6.0, section 2; BigTIFF has wider numbers.
"""

import io
import struct
from collections.abc import Iterator

from ocr_model.errors import ImageError

MOST_DIRECTORIES = 5000
"""1,000 pages with four smaller versions or masks each. So many cost a second, 16,000 four."""

MOST_ENTRIES = 100_000
"""Of all directories together, 20 each: scanners write some 15. So many cost another second."""

_BIG = 43


def walk_directories(file: io.BytesIO | io.BufferedReader) -> Iterator[int]:
    """Count the directories from 0, each before what reads it goes there.

    Where one lies beyond the file, it is the last, and the reader finds out what is wrong. They may
    come round again, and the reader ends.

    Raises:
        ImageError: There are more directories (`too_many_pages`) or entries (`too_large`) than are
            read.
    """
    head = file.read(16)
    order, is_big = ">" if head.startswith(b"MM") else "<", head[2:3] == bytes([_BIG])
    count, link = struct.Struct(order + "HQ"[is_big]), struct.Struct(order + "LQ"[is_big])
    entry_size = 20 if is_big else 12
    num_entries, (place,) = 0, link.unpack_from(head.ljust(16, b"\0"), 8 if is_big else 4)
    for index in range(MOST_DIRECTORIES):
        num = _read(file, place, count)
        num_entries += num or 0
        if num_entries > MOST_ENTRIES:
            raise ImageError("too_large", f"a TIFF of more than {MOST_ENTRIES} entries")
        yield index
        place = num is not None and _read(file, place + count.size + entry_size * num, link)
        if not place:
            return
    detail = f"more than {MOST_DIRECTORIES} directories, the rest is unread"
    raise ImageError("too_many_pages", detail)


def _read(file: io.BytesIO | io.BufferedReader, place: int, number: struct.Struct) -> int | None:
    """Return a number of the file, or None behind its end."""
    if place >= 2**63:
        return None
    file.seek(place)
    data = file.read(number.size)
    return int(number.unpack(data)[0]) if len(data) == number.size else None
