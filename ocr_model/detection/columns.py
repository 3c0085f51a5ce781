"""Columns of running text: where a page is to be read down one side before the other.

Source: the gutter is a whitespace rectangle as in Breuel, Two Geometric Algorithms for Layout
Analysis (DAS 2002), found between the words as they are; the recursion around it is the XY-cut of
Nagy and Seth (ICPR 1984). What neither asks is whether the sides are columns at all: prices of a
receipt and cells of a table have as white a strip before them, and are read across.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from ocr_model.detection.pieces import Pieces

# Chosen on 158 rendered pages and 149 of FUNSD: with 3 lines rivers in justified text pass for
# gutters, and with lower bounds of width and filling fields of forms pass for columns.
_LEAST_LINES = 4  # of a column
_GUTTER = 1.0  # heights, at least
_LINE_WIDTH = 10.0  # heights of a line of text, at least, at the median: some 20 letters
_FILLED = 0.7  # of a full line's width that the median line has, at least
_PITCH = 2.2  # heights from line to line, at most, at the median
_MOST_POSITIONS = 256

_Rows = Int[np.ndarray, " quads"]


class Cut(NamedTuple):
    """Indices of pieces, in the order to be read."""

    above: np.ndarray
    left: np.ndarray
    right: np.ndarray
    below: np.ndarray


def cut_columns(pieces: Pieces, rows: _Rows) -> Cut | None:
    """Find the gutter with the most lines beside it; None where everything is read across.

    Args:
        pieces: What stands in a region.
        rows: A number for each, shared by those that are one line of text if no gutter parts them.
    """
    if len(pieces) < 2 * _LEAST_LINES:
        return None
    order = np.argsort(pieces.middle, kind="stable")
    ordered, rows = pieces.take(order), rows[order]
    centre = (ordered.left + ordered.right) / 2
    best, most = None, 2 * _LEAST_LINES - 1
    seen: set[bytes] = set()
    for x, is_wall in _positions(ordered):
        if (key := is_wall.tobytes()) in seen:
            continue
        seen.add(key)
        for start, end in _runs(ordered, is_wall, most):
            run = np.arange(start, end)
            is_left = centre[start:end] < x
            left, right = run[is_left], run[~is_left]
            if all(_is_column(ordered.take(side), rows[side]) for side in (left, right)):
                best, most = Cut(order[:start], order[left], order[right], order[end:]), end - start
    return best


def _positions(pieces: Pieces) -> list[tuple[float, np.ndarray]]:
    """Return columns of the page where a gutter may be, and which pieces stand in it."""
    half = _GUTTER * float(np.median(pieces.height)) / 2
    start, end = float(pieces.left.min()), float(pieces.right.max())
    number = min(_MOST_POSITIONS, int((end - start) / half) + 1)
    positions = np.linspace(start, end, number)[:, None]
    is_wall = (pieces.left < positions + half) & (pieces.right > positions - half)
    return list(zip(positions[:, 0].tolist(), is_wall, strict=True))


def _runs(pieces: Pieces, is_wall: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Return where more than `most` pieces, and lines enough, follow without a wall."""
    walls = np.concatenate([[-1], np.flatnonzero(is_wall), [len(pieces)]])
    starts, ends = walls[:-1] + 1, walls[1:]
    is_long = ends - starts > most
    starts, ends = starts[is_long], ends[is_long]
    reach = pieces.middle[ends - 1] - pieces.middle[starts]
    is_high = reach >= (_LEAST_LINES - 1) * float(np.median(pieces.height))
    return list(zip(starts[is_high].tolist(), ends[is_high].tolist(), strict=True))


def _is_column(pieces: Pieces, rows: _Rows) -> bool:
    """Say whether pieces look like running text: long lines, close below each other."""
    if len(pieces) < _LEAST_LINES:
        return False
    order = np.argsort(rows, kind="stable")
    firsts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    left = np.minimum.reduceat(pieces.left[order], firsts)
    right = np.maximum.reduceat(pieces.right[order], firsts)
    widths, height = right - left, float(np.median(pieces.height))
    # The sides of one gutter may have gutters of their own: full is what is as wide as others.
    if np.median(widths) < max(_LINE_WIDTH * height, _FILLED * np.quantile(widths, 0.9)):
        return False
    steps = np.diff(np.sort(pieces.middle))
    steps = steps[steps > height / 2]
    return len(steps) + 1 >= _LEAST_LINES and float(np.median(steps)) <= _PITCH * height
