"""Pages of a TIFF, one after the other."""

import io
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path

from PIL.TiffImagePlugin import TiffImageFile

from ocr_model.errors import ImageError
from ocr_model.tiff import walk_directories

_SUBFILE_TAG, _NO_PAGE = 254, 0b101  # TIFF 6.0, NewSubfileType: a smaller version, a mask


def open_tiff(data: bytes | Path) -> Iterator[TiffImageFile]:
    """Give the file at each of its pages; smaller versions and masks of a page are none.

    It is always the same object, open until the iterator ends or is closed. Pillow ends where pages
    come round again. Between two pages are at most `MOST_DIRECTORIES` others, or 2 s.

    Raises:
        ImageError: Where the file is broken (`undecodable`), or goes on with more directories
            (`too_many_pages`) or entries (`too_large`) than are read.
    """
    with ExitStack() as files:
        walked = _bytes_of(data)
        files.enter_context(walked)
        indices = walk_directories(walked)
        first = next(indices)  # Pillow loads it as it opens the file
        try:
            opened = TiffImageFile(data if isinstance(data, Path) else io.BytesIO(data))
        except Exception as error:  # a border: Pillow's plugins raise anything
            raise ImageError("undecodable", f"{type(error).__name__}: {error}") from error
        files.enter_context(opened)
        for index in chain([first], indices):
            if not _seek(opened, index):
                return
            subfile = opened.tag_v2.get(_SUBFILE_TAG, 0)
            if not (isinstance(subfile, int) and subfile & _NO_PAGE):
                yield opened


def _bytes_of(data: bytes | Path) -> io.BytesIO | io.BufferedReader:
    try:
        return io.BytesIO(data) if isinstance(data, bytes) else data.open("rb")
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error)) from error


def _seek(opened: TiffImageFile, index: int) -> bool:
    """Go to a frame; false behind the last."""
    try:
        opened.seek(index)
    except EOFError:
        return False
    except Exception as error:  # a border, as above
        raise ImageError("undecodable", f"{type(error).__name__}: {error}") from error
    return True
