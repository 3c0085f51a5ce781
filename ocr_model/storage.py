"""A folder on a disk or in a bucket; files appear in it whole or not at all."""

from contextlib import suppress
from pathlib import Path
from typing import cast

import pyarrow as pa
from pyarrow import fs

from ocr_model.errors import OCRError


class Folder:
    """Reads and atomically writes files."""

    def __init__(self, address: str, *, setting: str, error: type[OCRError]) -> None:
        """Open a folder, creating it.

        Args:
            address: A path, or a URI that pyarrow knows.
            setting: The one that names the folder, for messages.
            error: What is raised where the folder cannot be written to.
        """
        self._error = error
        address = address.rstrip("/") or "/"
        try:
            if "://" in address:
                self._filesystem, self._root = fs.FileSystem.from_uri(address)
                self.address = address
            else:
                self._filesystem = fs.LocalFileSystem()
                self._root = self.address = str(Path(address).expanduser().absolute())
            self._is_local = isinstance(self._filesystem, fs.LocalFileSystem)
            self._filesystem.create_dir(self._root, recursive=True)
        except (OSError, pa.ArrowInvalid) as fault:
            raise error(f"cannot write to {setting} {address}: {fault}") from fault

    @property
    def local_path(self) -> Path | None:
        """The folder where it is on a disk, None in a bucket."""
        return Path(self._root) if self._is_local else None

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None where there is none."""
        try:
            with self.open(name) as stream:
                return cast("bytes", stream.read())
        except FileNotFoundError:
            return None

    def open(self, name: str) -> pa.NativeFile:
        """Open a file for reading from any place in it.

        Raises:
            OSError: It is not there (FileNotFoundError), or cannot be read.
        """
        return self._filesystem.open_input_file(f"{self._root}/{name}")

    def has(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        info = self._filesystem.get_file_info(f"{self._root}/{name}")
        return bool(info.type is fs.FileType.File)

    def size(self, name: str) -> int:
        """Return a file's bytes by number; 0 where there is none."""
        return int(self._filesystem.get_file_info(f"{self._root}/{name}").size or 0)

    def names(self) -> list[str]:
        """Return the names of files and folders directly in it, sorted; not of unfinished files."""
        entries = self._filesystem.get_file_info(fs.FileSelector(self._root))
        return sorted(entry.base_name for entry in entries if entry.extension != "tmp")

    def write(self, name: str, data: bytes | pa.Buffer) -> None:
        """Write a file; until it is complete, a former one of that name stays.

        Raises:
            OCRError: There is no space, or no permission; the former file is intact.
        """
        path = f"{self._root}/{name}"
        unfinished = f"{path}.tmp"
        try:
            self._filesystem.create_dir(path.rpartition("/")[0], recursive=True)
            if not self._is_local:  # an object appears when its upload is complete
                with self._filesystem.open_output_stream(path) as stream:
                    stream.write(data)
                return
            with self._filesystem.open_output_stream(unfinished) as stream:
                stream.write(data)
            self._filesystem.move(unfinished, path)
        except OSError as error:
            if self._is_local:
                with suppress(OSError):  # it may never have been there, or be out of reach
                    Path(unfinished).unlink()
            size = len(data) if isinstance(data, bytes) else data.size
            raise self._error(
                f"could not write {size} bytes to {path} ({error}); the former one is intact. "
                "Free space or mend permissions, then run the same command to go on"
            ) from error
