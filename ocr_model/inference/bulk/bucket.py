"""A bucket as a place: obstore pages through listings as they are read."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError
from obstore.store import from_url

from ocr_model.errors import ImageError, StorageError
from ocr_model.inference.bulk.entry import Entry, too_large

_PAGE = 1_000  # keys per request, the most that S3 gives
_READ_AHEAD = 1 << 20  # bytes, of objects that are read in parts
_RETRIES: dict[str, Any] = {"max_retries": 12, "retry_timeout": timedelta(seconds=60)}


class Bucket:
    """See `Place`."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        try:
            self._store: Any = from_url(self.address, retry_config=cast("Any", _RETRIES))
        except (BaseError, ValueError) as error:
            raise StorageError(f"cannot open {address}: {_brief(error)}") from error

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """See `Place`."""
        with self._answering("list", prefix):
            for chunk in obstore.list(self._store, prefix or None, chunk_size=_PAGE):
                yield from map(_bucket_entry, chunk)

    def find(self, key: str) -> Entry:
        """See `Place`."""
        with self._answering("read", key):
            return _bucket_entry(obstore.head(self._store, key))

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        """See `Place`."""
        if size == 0:
            return b""
        with self._answering("read", key):
            if size is None:
                return bytes(obstore.get(self._store, key).bytes())
            return bytes(obstore.get_range(self._store, key, start=start, length=size))

    def read_whole(self, key: str, most_bytes: int) -> bytes:
        """See `Place`."""
        with self._answering("read", key):
            found = obstore.get(self._store, key)
            if found.meta["size"] <= most_bytes:
                return bytes(found.bytes())
        raise too_large(found.meta["size"], most_bytes)

    def open(self, key: str) -> io.BufferedReader:
        """See `Place`."""
        with self._answering("read", key):
            return io.BufferedReader(_Parts(self, key), _READ_AHEAD)

    def write(self, key: str, data: bytes) -> None:
        """See `Place`."""
        with self._answering("write", key):
            obstore.put(self._store, key, data)

    def create(self, key: str, data: bytes) -> bool:
        """See `Place`."""
        with self._answering("write", key):
            try:
                obstore.put(self._store, key, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def delete(self, key: str) -> None:
        """See `Place`."""
        with self._answering("delete", key), suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    @contextmanager
    def _answering(self, action: str, key: str) -> Iterator[None]:
        """Tell what is wrong with an object from what is wrong with the store."""
        place = f"{self.address}/{key}" if key else self.address
        try:
            yield
        except FileNotFoundError as error:
            if action == "read" and "NoSuchBucket" not in str(error):
                raise ImageError("missing", f"no object {place}") from error
            raise StorageError(f"cannot {action} {place}: {_brief(error)}") from error
        except PermissionDeniedError as error:
            if action == "read":
                raise ImageError("forbidden", _brief(error)) from error
            raise StorageError(f"cannot {action} {place}: {_brief(error)}") from error
        except (BaseError, OSError, ValueError) as error:
            raise StorageError(f"cannot {action} {place}: {_brief(error)}") from error


def _bucket_entry(found: Any) -> Entry:  # noqa: ANN401  # obstore's
    return Entry(found["path"], found["size"], (found["e_tag"] or "").strip('"'))


class _Parts(io.RawIOBase):
    """An object as a file that asks for the parts that are read."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self._bucket, self._key = bucket, key
        self._size, self._place = bucket.find(key).size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        beginning = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}
        self._place = beginning[whence] + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # any writable buffer
        size = max(0, min(len(buffer), self._size - self._place))
        buffer[:size] = self._bucket.read(self._key, self._place, size)
        self._place += size
        return size


def _brief(error: Exception) -> str:
    """Return what an error of obstore says, without its source."""
    text = str(error).partition("\n\nDebug source")[0]
    hint = ""
    if "/latest/api/" in text or "metadata" in text.lower():  # a cloud's machines ask there
        hint = " (no credentials were found: set them in the environment)"
    elif "NoSuchBucket" in text or "does not exist" in text:
        hint = " (there is no such bucket)"
    return " ".join(text.split())[:400] + hint
