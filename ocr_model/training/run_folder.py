"""The folder of a run, on a disk or in a bucket; files appear in it whole or not at all."""

import io
import logging
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import torch
from pyarrow import ArrowInvalid, fs

from ocr_model.errors import CheckpointError

logger = logging.getLogger(__name__)


class RunFolder:
    """Reads and atomically writes the files of one run."""

    def __init__(self, storage: str, name: str) -> None:
        """Open `<storage>/<name>`, creating it.

        Raises:
            CheckpointError: The storage cannot be written to.
        """
        try:
            if "://" in storage:
                self._filesystem, inner = fs.FileSystem.from_uri(storage)
                self.address = f"{storage.rstrip('/')}/{name}"
            else:
                self._filesystem = fs.LocalFileSystem()
                inner = str(Path(storage).expanduser().absolute())
                self.address = f"{inner}/{name}"
            self._root = f"{inner}/{name}"
            self._is_local = isinstance(self._filesystem, fs.LocalFileSystem)
            self._filesystem.create_dir(self._root, recursive=True)
        except (OSError, ArrowInvalid) as error:
            raise CheckpointError(f"cannot write to run.storage {storage}: {error}") from error

    @property
    def local_path(self) -> Path | None:
        """The folder where it is on a disk, None in a bucket."""
        return Path(self._root) if self._is_local else None

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, or None where there is none."""
        try:
            with self._filesystem.open_input_stream(f"{self._root}/{name}") as stream:
                return cast("bytes", stream.read())
        except FileNotFoundError:
            return None

    def has(self, name: str) -> bool:
        """Return whether there is a file of that name."""
        info = self._filesystem.get_file_info(f"{self._root}/{name}")
        return bool(info.type is fs.FileType.File)

    def is_archive(self, name: str) -> bool:
        """Return whether a file ends as `save_state` ends it; one cut short does not."""
        try:
            with self._filesystem.open_input_file(f"{self._root}/{name}") as file:
                return zipfile.is_zipfile(file)
        except FileNotFoundError:
            return False

    def write(self, name: str, data: bytes) -> None:
        """Write a file; until it is complete, a former one of that name stays.

        Raises:
            CheckpointError: There is no space, or no permission; the former file is intact.
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
            raise CheckpointError(
                f"could not write {len(data)} bytes to {path} ({error}); the former one is intact. "
                "Free space or mend permissions, then run the same command to go on"
            ) from error

    def save_state(self, name: str, state: dict[str, Any]) -> None:
        """Write tensors and plain values with `torch.save`."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.write(name, buffer.getvalue())

    def load_state(self, name: str) -> dict[str, Any] | None:
        """Read what `save_state` wrote, or None where there is none.

        Raises:
            CheckpointError: The file is damaged, or holds more than tensors and plain values.
        """
        data = self.read(name)
        if data is None:
            return None
        try:
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:  # a border: torch raises anything on bad bytes
            raise CheckpointError(f"{self.address}/{name} cannot be read: {error}") from error
        return cast("dict[str, Any]", state)
