"""Words to lines to blocks, in the order that a person reads them: by geometry alone.

Bottom up, as in O'Gorman's docstrum (PAMI 1993): neighbours with usual gaps become runs. Then top
down: gutters between columns of running text part the page (see `columns.py`), and in each part
runs that stand beside each other become one line, however far apart: a label and its value, an
item and its price, the cells of a table's row.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ocr_model.detection.columns import cut_columns
from ocr_model.detection.maps import Quads
from ocr_model.detection.pieces import Pieces, from_corners, link_rows
from ocr_model.detection.quads import weighted_median

_WORD_GAP = 1.2  # heights between words of one run, at most
_JUSTIFIED_GAP = 2.0  # the same, in a line of text that was spread to its column's width
_ACROSS = float("inf")
_FEWEST = 6  # runs to tell a slope from: one headline is no page
_BLOCK_GAP = 0.8  # heights between lines of one block, at most
_BLOCK_SIZES = 1.6  # ratio of the heights of two lines of one block, at most


@dataclass(frozen=True, slots=True)
class OrderedBlock:
    """Lines that belong together."""

    lines: tuple[tuple[int, ...], ...]
    """Indices of the words of each line, in reading order."""


def order_words(quads: Quads) -> tuple[OrderedBlock, ...]:
    """Put words into reading order.

    Args:
        quads: In a frame where lines are level, at least roughly (`UprightFrame.from_image`).

    Returns:
        Blocks of lines of indices into `quads`; every word is in one line.
    """
    if not len(quads):
        return ()
    corners = np.nan_to_num(quads).astype(np.float64)
    words = from_corners(corners)
    slope = _slope(words, link_rows(words, _WORD_GAP))
    corners[..., 1] -= slope * corners[..., 0]
    words = from_corners(corners)
    runs = link_rows(words, _WORD_GAP)
    pieces = words.join(runs)
    blocks = []
    for region in _regions(pieces):
        lines = _lines(pieces.take(region))
        groups = [[word for piece in line for word in runs[region[piece]]] for line in lines]
        blocks += _blocks(words, groups)
    return tuple(blocks)


def _slope(words: Pieces, runs: list[list[int]]) -> float:
    """Return by how much lines still fall per pixel: upright boxes do not show their slope."""
    firsts = np.array([run[0] for run in runs if len(run) > 2], int)
    lasts = np.array([run[-1] for run in runs if len(run) > 2], int)
    if len(firsts) < _FEWEST:
        return 0.0
    centres = (words.left + words.right) / 2  # which increase in a run; left edges may not
    along = centres[lasts] - centres[firsts]
    falls = words.middle[lasts] - words.middle[firsts]
    return weighted_median(falls / along, along)


def _regions(pieces: Pieces) -> list[np.ndarray]:
    """Part pieces into what is read down before the next."""
    rows = np.empty(len(pieces), int)
    for number, row in enumerate(link_rows(pieces, _JUSTIFIED_GAP)):
        rows[row] = number
    pending, found = [np.arange(len(pieces))], []
    while pending:
        region = pending.pop()
        cut = cut_columns(pieces.take(region), rows[region])
        if cut is not None:
            pending += [region[part] for part in reversed(cut)]
        elif len(region):
            found.append(region)
    return found


def _lines(pieces: Pieces) -> list[list[int]]:
    """Return the rows of a region from top to bottom."""
    rows = link_rows(pieces, _ACROSS)
    middles = pieces.join(rows).middle
    return [rows[place] for place in np.argsort(middles, kind="stable")]


def _blocks(words: Pieces, groups: list[list[int]]) -> list[OrderedBlock]:
    """Part lines, from top to bottom, where they are far apart or of other size."""
    lines = words.join(groups)
    gaps = lines.top[1:] - lines.bottom[:-1]
    least = np.minimum(lines.height[1:], lines.height[:-1])
    most = np.maximum(lines.height[1:], lines.height[:-1])
    is_apart = (gaps > _BLOCK_GAP * least) | (most > _BLOCK_SIZES * least)
    starts = [0, *(np.flatnonzero(is_apart) + 1).tolist(), len(groups)]
    return [
        OrderedBlock(tuple(tuple(line) for line in groups[start:end]))
        for start, end in pairwise(starts)
    ]
