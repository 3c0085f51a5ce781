"""The currency of the data rooms: pieces of datasets, row numbers, samples."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from zlib import crc32

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt16

Rows = Int[np.ndarray, " _rows"]
"""Row numbers in a fragment; each fragment has as many as it likes."""
Lengths = UInt16[np.ndarray, " _rows"]
"""One number per row of a fragment that is used."""


@dataclass(frozen=True)
class Fragment:
    """A piece of a dataset that one task reads at once."""

    uri: str
    """The file, or the dataset and its split."""
    part: int
    """Number of the row group, or of the run of rows."""
    num_rows: int
    copy: int = 0
    """Above 0 where an epoch has the same rows again."""

    @property
    def key(self) -> int:
        """A number that stays the same when the file moves to another folder or machine."""
        name = self.uri.rstrip("/").rpartition("/")[2]
        again = f"*{self.copy}" if self.copy else ""
        return crc32(f"{name}#{self.part}{again}".encode())


@dataclass(frozen=True)
class Sample:
    """One word image with its raw label."""

    image: bytes | np.ndarray | None
    """Encoded, or RGB pixels; None where it could not be read."""
    label: str | None
    """None where there is none; rows that are trained on or scored have one."""
    error: str = ""
    """Why there is no image."""
    char_quads: Float32[np.ndarray, "chars 4 2"] | None = None
    """Corners (x, y) of each character, clockwise from its upper left, in pixels; rendered words
    have them, and stored ones by `read_in_full`."""


@dataclass(frozen=True)
class SubsetIndex:
    """The rows of one subset that are used."""

    fragments: tuple[Fragment, ...]
    rows: tuple[Rows, ...]
    """One ascending array per fragment."""
    num_chars: tuple[Lengths, ...] = ()
    """Length of each row's label; empty where the subset was not indexed for training."""
    num_columns: tuple[Lengths, ...] = ()
    """Columns that CTC needs to spell it: one per character and one between equal neighbours."""

    @property
    def num_rows(self) -> int:
        """Rows of all fragments together."""
        return sum(len(rows) for rows in self.rows)

    @cached_property
    def rows_by_length(self) -> Int[np.ndarray, " lengths"]:
        """Number of rows by the length of their label."""
        return np.bincount(np.concatenate([np.zeros(0, np.uint16), *self.num_chars]))

    def where(self, is_kept: Bool[np.ndarray, " all_rows"]) -> "SubsetIndex":
        """Return a part of the rows, of the same fragments; some may be left without any."""
        starts = np.cumsum([0, *(len(rows) for rows in self.rows)])
        ends = np.concatenate([[0], np.cumsum(is_kept)])[starts][1:-1]

        def pick(arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
            return tuple(np.split(np.concatenate(arrays)[is_kept], ends)) if arrays else ()

        return SubsetIndex(
            self.fragments, pick(self.rows), pick(self.num_chars), pick(self.num_columns)
        )

    def repeated(self, times: Iterable[int]) -> "SubsetIndex":
        """Return each fragment so many times, as copies with an order and randomness of their own.

        `times` has a number per fragment.
        """
        places = [(place, copy) for place, many in enumerate(times) for copy in range(many)]

        def pick(arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
            return tuple(arrays[place] for place, _ in places) if arrays else ()

        return SubsetIndex(
            tuple(replace(self.fragments[place], copy=copy) for place, copy in places),
            pick(self.rows),
            pick(self.num_chars),
            pick(self.num_columns),
        )

    def up_to(self, max_chars: int) -> "SubsetIndex":
        """Return the rows whose labels have at most so many characters."""
        return self.where(np.concatenate(self.num_chars) <= max_chars)
