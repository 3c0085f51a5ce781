"""Folders and buckets: listed in order, read in parts, written whole or not at all."""

import io
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Protocol, runtime_checkable

from ocr_model.inference.bulk.bucket import Bucket
from ocr_model.inference.bulk.entry import Entry
from ocr_model.inference.bulk.local_folder import LocalFolder


@runtime_checkable  # for the tests, which check types at run time
class Place(Protocol):
    """A folder, or a bucket's prefix."""

    @property
    def address(self) -> str:
        """What was opened, absolute, without a slash at its end."""

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """List what is below, in the order of the keys' bytes, as it comes.

        Raises:
            StorageError: There is no such place, or it does not answer.
        """

    def find(self, key: str) -> Entry:
        """Return what a listing would say of one object; raises as `read`."""

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        """Return an object's bytes, or a part of them.

        Raises:
            ImageError: It is not there (`missing`) or may not be read (`forbidden`).
            StorageError: The place does not answer.
        """

    def read_whole(self, key: str, most_bytes: int) -> bytes:
        """Return an object's bytes; raises as `read`, and ImageError (`too_large`)."""

    def open(self, key: str) -> io.BufferedReader:
        """Open an object for reading from any place in it; raises as `read`."""

    def write(self, key: str, data: bytes) -> None:
        """Write an object; until it is complete, a former one stays.

        Raises:
            StorageError: There is no space, no permission, or no answer.
        """

    def create(self, key: str, data: bytes) -> bool:
        """Write an object where there is none; say whether there was none. Raises as `write`."""

    def delete(self, key: str) -> None:
        """Delete an object, or find it deleted. Raises StorageError."""


def open_place(address: str) -> Place:
    """Open a folder or a bucket's prefix; nothing is created or asked yet.

    Raises:
        StorageError: The address is of no kind that is known.
    """
    if "://" not in address:
        return LocalFolder(address)
    if address.startswith("file://"):
        return LocalFolder(address.removeprefix("file://"))
    return Bucket(address)


def split_address(uri: str) -> tuple[str, str]:
    """Return the place that an object can be opened in, and its key there."""
    if "://" not in uri or uri.startswith("file://"):
        path = Path(uri.removeprefix("file://")).expanduser().absolute()
        return str(path.parent), path.name
    scheme, _, rest = uri.partition("://")
    root, _, key = rest.partition("/")
    return f"{scheme}://{root}", key


@lru_cache(maxsize=64)
def place_of(address: str) -> Place:
    """Return an opened place again: a bucket keeps its connections."""
    return open_place(address)


def byte_order(text: str) -> bytes:
    """Return what keys are sorted by; a file's name may be no UTF-8."""
    return text.encode("utf-8", "surrogateescape")
