"""What a detector is trained to say: heat in the middle of characters, and between neighbours.

Source: CRAFT (Baek et al. 2019, arXiv:1904.01941), 3.2. A character's box here is its share of the
word from edge to edge, as high as the word and as far as halfway to its neighbours, instead of its
ink: so dots and dashes are as well seen as letters, and rendered words look as those do whose boxes
must be divided evenly for want of boxes of characters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import cv2
import numpy as np
from jaxtyping import Bool, Float32

Quad = Float32[np.ndarray, "4 2"]
"""Corners (x, y), clockwise from the upper left of the text."""

_SIGMA = 0.25
"""Of a box's side: heat is 0.14 at its edges. A word's outline at heat 0.4 is then some 0.7 of its
height, from where EasyOCR's boxes are grown by dilation."""
_REACH = 0.75
"""Of a box's side, from its middle on: there heat has fallen to 0.01 and ends."""
_LEAST_SIDE = 2.5
"""Cells: smaller boxes are as hot as if they had this side. A box's middle is up to half a cell off
that of the nearest cell, which in a box of 1.5 cells would have a heat of 0.41."""
_LEAST_AREA = 0.1
"""Cells; of a word that is not drawn."""
_AFFINITY_HEIGHT = 2 / 3
"""Of the word's: between centroids of a box's upper and lower triangle (CRAFT, figure 3)."""
_MIDDLE = np.array([0.5])
_UNIT = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)


@dataclass(frozen=True)
class SpacedWord:
    """A word and where along it characters begin and end."""

    quad: Quad
    edges: Float32[np.ndarray, " edges"]
    """From the beginning of the first character to the end of the last, as shares of the quad's
    length; rising; one more than there are characters."""


@dataclass(frozen=True)
class Heat:
    """Maps of one picture."""

    region: Float32[np.ndarray, "map_height map_width"]
    """In [0, 1]: 1 in the middle of a character."""
    affinity: Float32[np.ndarray, "map_height map_width"]
    """The same of the middle between two neighbours of one word."""
    is_known: Bool[np.ndarray, "map_height map_width"]
    """False where nobody said what is there."""


def space_by_ink(quad: Quad, char_quads: Float32[np.ndarray, "chars 4 2"]) -> SpacedWord:
    """Cut a word halfway between the ink of neighbours."""
    to_unit = cv2.getPerspectiveTransform(quad, _UNIT)
    along = cv2.perspectiveTransform(char_quads.reshape(1, -1, 2), to_unit)[0, :, 0].reshape(-1, 4)
    starts, ends = along.min(axis=1), along.max(axis=1)
    between = np.maximum.accumulate((ends[:-1] + starts[1:]) / 2)  # slanted ink may overlap
    return SpacedWord(quad, np.concatenate([[0], between, [1]]).clip(0, 1).astype(np.float32))


def space_evenly(quad: Quad, text: str) -> list[SpacedWord]:
    """Divide a box by its text's characters; of several words, each becomes one."""
    words, place = [], 0
    for is_space, group in groupby(text, str.isspace):
        num_chars = sum(1 for _ in group)
        if not is_space:
            edges = np.arange(place, place + num_chars + 1, dtype=np.float32) / len(text)
            words.append(SpacedWord(quad, edges))
        place += num_chars
    return words


def draw_heat(
    words: Sequence[SpacedWord], unknown: Sequence[Quad], height: int, width: int
) -> Heat:
    """Draw the maps of a picture.

    Args:
        words: In cells of the maps, whose first cell reaches from 0 to 1. May be partly outside.
        unknown: What must not be learnt from.
        height: Cells.
        width: Cells.
    """
    region, affinity = np.zeros((2, height, width), np.float32)
    for word in words:
        _draw_word(word, region, affinity)
    mask = np.ones((height, width), np.uint8)
    for quad in unknown:
        cv2.fillConvexPoly(mask, np.round(quad - 0.5).astype(np.int32), 0)
    return Heat(region, affinity, mask.astype(bool))


def _draw_word(
    word: SpacedWord,
    region: Float32[np.ndarray, "map_height map_width"],
    affinity: Float32[np.ndarray, "map_height map_width"],
) -> None:
    if cv2.contourArea(word.quad) < _LEAST_AREA:
        return
    edges = word.edges
    middles, lengths = (edges[:-1] + edges[1:]) / 2, np.diff(edges)
    is_drawn = lengths > 0
    middles, lengths = middles[is_drawn], lengths[is_drawn]
    gaps = np.diff(middles)
    try:
        to_unit = np.linalg.inv(cv2.getPerspectiveTransform(_UNIT, word.quad))
    except np.linalg.LinAlgError:
        return  # three corners on a line
    sides = np.linalg.norm(word.quad - np.roll(word.quad, -1, axis=0), axis=1)
    length, height = sides[::2].mean(), sides[1::2].mean()
    shortest, lowest = _LEAST_SIDE / length, _LEAST_SIDE / height
    for rows, columns in _window(word.quad, region.shape):
        along, across = _to_unit(to_unit, rows, columns)
        heat = _gauss(along, middles, lengths.clip(shortest))
        heat *= _gauss(across, _MIDDLE, np.array([max(1.0, lowest)]))
        np.maximum(region[rows, columns], heat, out=region[rows, columns])
        if len(gaps):
            heat = _gauss(along, middles[:-1] + gaps / 2, gaps.clip(shortest))
            heat *= _gauss(across, _MIDDLE, np.array([max(_AFFINITY_HEIGHT, lowest)]))
            np.maximum(affinity[rows, columns], heat, out=affinity[rows, columns])


def _window(quad: Quad, size: tuple[int, ...]) -> Iterator[tuple[slice, slice]]:
    """Give the rows and columns that a word's heat reaches, if any are in the maps."""
    around = quad.mean(axis=0) + 2 * _REACH * (quad - quad.mean(axis=0))
    left, top = (np.floor(around.min(axis=0)) - 1).clip(0).astype(int)
    right, bottom = (np.ceil(around.max(axis=0)) + 1).clip(0).astype(int)
    rows, columns = slice(top, min(bottom, size[0])), slice(left, min(right, size[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        yield rows, columns


def _to_unit(
    matrix: np.ndarray, rows: slice, columns: slice
) -> tuple[Float32[np.ndarray, "rows columns"], Float32[np.ndarray, "rows columns"]]:
    """Return where the middles of cells are along and across a word."""
    x = np.arange(columns.start, columns.stop) + 0.5
    y = (np.arange(rows.start, rows.stop) + 0.5)[:, None]
    along, across, scale = (row[0] * x + row[1] * y + row[2] for row in matrix)
    scale = np.where(scale > 1e-6, scale, np.inf)  # beyond the horizon of a slanted word
    return (along / scale).astype(np.float32), (across / scale).astype(np.float32)


def _gauss(
    places: Float32[np.ndarray, "rows columns"], middles: np.ndarray, lengths: np.ndarray
) -> Float32[np.ndarray, "rows columns"]:
    """Return the heat of boxes in one direction: of those that reach a place, the highest."""
    away = np.abs(places[..., None] - middles.astype(np.float32)) / lengths.astype(np.float32)
    nearest = away.min(axis=-1)
    heat: np.ndarray = np.exp(-0.5 * (nearest / _SIGMA) ** 2)
    heat[nearest > _REACH] = 0
    return heat
