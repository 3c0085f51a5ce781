"""The currency of the data rooms: pieces of datasets, row numbers, samples."""

from dataclasses import dataclass
from zlib import crc32

import numpy as np
from jaxtyping import Float32, Int

Rows = Int[np.ndarray, " _rows"]
"""Row numbers in a fragment; each fragment has as many as it likes."""


@dataclass(frozen=True)
class Fragment:
    """A piece of a dataset that one task reads at once."""

    uri: str
    """The file, or the dataset and its split."""
    part: int
    """Number of the row group, or of the run of rows."""
    num_rows: int

    @property
    def key(self) -> int:
        """A number that stays the same when the file moves to another folder or machine."""
        name = self.uri.rstrip("/").rpartition("/")[2]
        return crc32(f"{name}#{self.part}".encode())


@dataclass(frozen=True)
class Sample:
    """One word image with its raw label."""

    image: bytes | np.ndarray | None
    """Encoded, or RGB pixels; None where it could not be read."""
    label: str
    error: str = ""
    """Why there is no image."""
    char_quads: Float32[np.ndarray, "chars 4 2"] | None = None
    """Corners (x, y) of each character, clockwise from its upper left, in pixels; rendered words
    have them."""
