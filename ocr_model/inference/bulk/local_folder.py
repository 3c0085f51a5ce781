"""A folder as a place: obstore neither sorts one nor takes every name of a file."""

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ocr_model.errors import ImageError, StorageError
from ocr_model.inference.bulk.entry import Entry, too_large


class LocalFolder:
    """See `Place`."""

    def __init__(self, path: str) -> None:
        self._root = Path(path).expanduser().absolute()
        self.address = str(self._root)

    def entries(self, prefix: str = "") -> Iterator[Entry]:
        """See `Place`."""
        folder = self._root / prefix
        if prefix and not folder.is_dir():
            return
        try:
            yield from _walk(self.address, f"{prefix}/" if prefix else "")
        except OSError as error:
            raise StorageError(f"cannot list {folder}: {error.strerror or error}") from error

    def find(self, key: str) -> Entry:
        """See `Place`."""
        with self._reading(key):
            if not (self._root / key).is_file():
                raise ImageError("missing", f"no file {self._root / key}")
            return _entry(self.address, key)

    def read(self, key: str, start: int = 0, size: int | None = None) -> bytes:
        """See `Place`."""
        with self._reading(key), (self._root / key).open("rb") as file:
            file.seek(start)
            return file.read() if size is None else file.read(size)

    def read_whole(self, key: str, most_bytes: int) -> bytes:
        """See `Place`."""
        size = self.find(key).size  # of a file: a pipe would never end
        if size > most_bytes:
            raise too_large(size, most_bytes)
        return self.read(key)

    def open(self, key: str) -> io.BufferedReader:
        """See `Place`."""
        with self._reading(key):
            return (self._root / key).open("rb")

    def write(self, key: str, data: bytes) -> None:
        """See `Place`."""
        with self._unfinished(key, data) as (unfinished, path):
            unfinished.replace(path)

    def create(self, key: str, data: bytes) -> bool:
        """See `Place`."""
        with self._unfinished(key, data) as (unfinished, path):
            try:
                os.link(unfinished, path)
            except FileExistsError:
                return False
        return True

    def delete(self, key: str) -> None:
        """See `Place`."""
        try:
            (self._root / key).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot delete {self._root / key}: {error.strerror}") from error

    @contextmanager
    def _unfinished(self, key: str, data: bytes) -> Iterator[tuple[Path, Path]]:
        """Give a complete file beside the one that it is for, under a name of its own."""
        path = self._root / key
        unfinished: Path | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
                unfinished = Path(file.name)
                file.write(data)
            unfinished.chmod(0o644)
            yield unfinished, path
        except OSError as error:
            raise StorageError(
                f"could not write {len(data)} bytes to {path} ({error.strerror or error}). Free "
                "space or mend permissions, then run the same command to go on"
            ) from error
        finally:
            if unfinished is not None:
                with suppress(OSError):
                    unfinished.unlink()

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise ImageError("missing", f"no file {self._root / key}") from error
        except (PermissionError, IsADirectoryError, NotADirectoryError) as error:
            raise ImageError("forbidden", f"{self._root / key}: {error.strerror}") from error
        except OSError as error:
            raise StorageError(f"cannot read {self._root / key}: {error.strerror}") from error


def _walk(root: str, prefix: str) -> Iterator[Entry]:
    """List files in the order of their keys' bytes; one folder's names are in memory at a time."""
    with os.scandir(f"{root}/{prefix}") as found:
        children = [
            (os.fsencode(child.name) + (b"/" if child.is_dir(follow_symlinks=False) else b""))
            for child in found
            if not child.name.startswith(".")
        ]
    for name in sorted(children):
        key = prefix + os.fsdecode(name)
        if name.endswith(b"/"):
            yield from _walk(root, key)
            continue
        with suppress(FileNotFoundError):  # gone since, or a link to nowhere
            yield _entry(root, key)


def _entry(root: str, key: str) -> Entry:
    status = os.stat(f"{root}/{key}")  # noqa: PTH116  # a Path for each costs more
    return Entry(key, status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}")
