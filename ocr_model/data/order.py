"""The order in which samples are seen: a pure function of seed, epoch and position.

Any rank, on any machine, at any time, can say which samples make up step `k` of epoch `e`. That is
what makes a resume exact and a run independent of how its data was sharded. A global batch is the
concatenation of `num_streams` equal parts; each rank reads whole streams, so that a rank never
touches files of another. (The idea of a fixed number of streams is MosaicML Streaming's "canonical
nodes".)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from ocr_model.data.fragments import Fragment, Rows, SubsetIndex
from ocr_model.errors import ConfigError

Positions = Int[np.ndarray, " rows"]


@dataclass(frozen=True)
class SampleRef:
    """Rows of one fragment, and where they stand in a task's output."""

    fragment: Fragment
    rows: Rows
    slots: Positions


@dataclass(frozen=True)
class EpochOrder:
    """One epoch's order over a subset, in batches of one size.

    Files are permuted, rows are permuted within their file, and runs of `shuffle_rows` samples
    are permuted again, so a row moves far but a run reads few files.
    """

    index: SubsetIndex
    seed: int
    epoch: int
    batch_size: int
    """Samples of all ranks together."""
    num_streams: int = 1
    shuffle_rows: int = 16_384
    repeat: int = 0
    """How often the epoch has been through its rows before; each time has an order of its own."""

    def __post_init__(self) -> None:
        if self.batch_size % self.num_streams:
            raise ConfigError(
                f"batch size {self.batch_size} is not a multiple of {self.num_streams} data streams"
            )
        if self.index.num_rows < self.batch_size:
            raise ConfigError(
                f"{self.index.num_rows} training samples do not fill one batch of "
                f"{self.batch_size}; lower training.batch_size"
            )

    @property
    def num_steps(self) -> int:
        """Global batches per epoch; the rest of under one batch waits for another epoch."""
        return self.index.num_rows // self.batch_size

    def select(self, streams: range, start: int, stop: int) -> list[SampleRef]:
        """Return the samples of steps `start..stop` that belong to `streams`.

        Slots count step by step, and within a step stream by stream.
        """
        part = self.batch_size // self.num_streams
        fragments, rows = [], []
        for step in range(start, stop):
            for stream in streams:
                positions = self._stream_positions(stream, step * part, (step + 1) * part)
                found = self._locate(positions)
                fragments.append(found[0])
                rows.append(found[1])
        return _group(self.index, np.concatenate(fragments), np.concatenate(rows))

    def _rng(self, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.epoch + (self.repeat << 32), *numbers])

    @cached_property
    def _fragment_order(self) -> Int[np.ndarray, " fragments"]:
        return self._rng().permutation(len(self.index.rows))

    @cached_property
    def _ends(self) -> Int[np.ndarray, " fragments"]:
        return np.cumsum([len(self.index.rows[i]) for i in self._fragment_order])

    def _stream_positions(self, stream: int, start: int, stop: int) -> Positions:
        """Map positions in a stream to positions in the sequence of permuted files."""
        per_stream = self.num_steps * self.batch_size // self.num_streams
        first_chunk, last_chunk = start // self.shuffle_rows, (stop - 1) // self.shuffle_rows
        pieces = []
        for chunk in range(first_chunk, last_chunk + 1):
            base = chunk * self.shuffle_rows
            size = min(self.shuffle_rows, per_stream - base)
            shuffled = self._chunk_permutation(stream, chunk, size)
            pieces.append(base + shuffled[max(start - base, 0) : stop - base])
        return stream * per_stream + np.concatenate(pieces)

    def _chunk_permutation(self, stream: int, chunk: int, size: int) -> Positions:
        key = (stream, chunk)
        if key not in self._permutations:
            if len(self._permutations) >= 2 * self.num_streams:
                self._permutations.clear()
            self._permutations[key] = self._rng(stream, chunk).permutation(size)
        return self._permutations[key]

    @cached_property
    def _permutations(self) -> dict[tuple[int, int], Positions]:
        return {}

    def _locate(self, positions: Positions) -> tuple[Positions, Rows]:
        places = np.searchsorted(self._ends, positions, side="right")
        fragments = self._fragment_order[places]
        starts = np.concatenate([[0], self._ends])[places]
        rows = np.empty_like(positions)
        for fragment in np.unique(fragments):
            is_here = fragments == fragment
            rows[is_here] = self._row_order(int(fragment))[(positions - starts)[is_here]]
        return fragments, rows

    def _row_order(self, fragment: int) -> Rows:
        if fragment not in self._row_orders:
            if len(self._row_orders) > 256:
                self._row_orders.clear()
            rng = self._rng(self.index.fragments[fragment].key)
            self._row_orders[fragment] = rng.permutation(self.index.rows[fragment])
        return self._row_orders[fragment]

    @cached_property
    def _row_orders(self) -> dict[int, Rows]:
        return {}


def _group(index: SubsetIndex, fragments: Positions, rows: Rows) -> list[SampleRef]:
    references = []
    for fragment in np.unique(fragments):
        slots = np.flatnonzero(fragments == fragment)
        references.append(SampleRef(index.fragments[fragment], rows[slots], slots))
    return references


def sequential(index: SubsetIndex, start: int, stop: int) -> list[SampleRef]:
    """Return samples `start..stop` of the subset in file order, for validation and reading."""
    ends = np.cumsum([len(rows) for rows in index.rows])
    positions = np.arange(start, min(stop, int(ends[-1])))
    fragments = np.searchsorted(ends, positions, side="right")
    starts = np.concatenate([[0], ends])[fragments]
    rows = np.array(
        [index.rows[f][p] for f, p in zip(fragments, positions - starts, strict=True)], np.int64
    )
    return _group(index, fragments, rows)
