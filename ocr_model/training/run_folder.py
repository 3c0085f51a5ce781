"""The folder of a run, on a disk or in a bucket."""

import io
import zipfile
from typing import Any, cast

import torch

from ocr_model.errors import CheckpointError
from ocr_model.storage import Folder


class RunFolder(Folder):
    """Reads and atomically writes the files of one run, tensors among them."""

    def __init__(self, storage: str, name: str) -> None:
        """Open `<storage>/<name>`, creating it.

        Raises:
            CheckpointError: The storage cannot be written to.
        """
        address = f"{storage.rstrip('/')}/{name}"
        super().__init__(address, setting="run.storage", error=CheckpointError)

    def is_archive(self, name: str) -> bool:
        """Return whether a file ends as `save_state` ends it; one cut short does not."""
        try:
            with self.open(name) as file:
                return zipfile.is_zipfile(file)
        except FileNotFoundError:
            return False

    def save_state(self, name: str, state: dict[str, Any]) -> None:
        """Write tensors and plain values with `torch.save`.

        Raises:
            CheckpointError: There is no space, or no permission; the former file is intact.
        """
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
