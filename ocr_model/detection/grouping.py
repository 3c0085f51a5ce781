"""Words that stand beside each other, put into lines as EasyOCR does it.

Source: easyocr 1.7.2, `utils.group_text_box` and `Reader.detect`.
"""

from dataclasses import dataclass
from itertools import compress
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Integer
from pydantic import NonNegativeFloat, NonNegativeInt

from ocr_model.config import Config
from ocr_model.detection.maps import Quads

_LEAST_RUN = 10  # pixels; a slope is not steeper than its rise over these
_DIAGONAL = 1.44  # what EasyOCR takes for the square root of two
_OUTWARDS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])

_Pixels = Int64[np.ndarray, "quads 4 2"]


class LineConfig(Config):
    """EasyOCR's thresholds of lines, with its names and defaults."""

    slope_ths: NonNegativeFloat = 0.1
    """Words that rise or fall by less, as a share of their width, may be put into lines."""
    ycenter_ths: NonNegativeFloat = 0.5
    """Middles of a line's words differ in height by less, in mean word heights."""
    height_ths: NonNegativeFloat = 0.5
    """Words of a line differ in height by less, in mean word heights."""
    width_ths: NonNegativeFloat = 0.5
    """Words of a line are apart by less, in heights of the right one."""
    add_margin: NonNegativeFloat = 0.1
    """What a line gets around it, as a share of its shorter side."""
    min_size: NonNegativeInt = 20
    """Pixels; lines of which no side is longer are left out. 0: all are kept."""


DEFAULT_LINES = LineConfig()


@dataclass(frozen=True)
class FoundLines:
    """Words that are beside each other."""

    quads: Quads
    """Of each line with its margin, which may reach out of the image; first those along the axes,
    then slanting words, each on its own."""
    words: tuple[Integer[np.ndarray, "_"], ...]
    """Numbers of the words of each line, from left to right."""
    num_level: int
    """How many lines, from the first, are rectangles along the axes."""


def group_lines(quads: Quads, config: LineConfig = DEFAULT_LINES) -> FoundLines:
    """Put level words that are beside each other into lines; slanting ones stay alone.

    EasyOCR's rule, made for horizontal text: a word is of the line if its middle is as high as the
    mean of theirs, it is as high as they are, and near the last one.
    """
    pixels = quads.astype(np.int32).astype(np.int64)  # cut as EasyOCR cuts; no product overflows
    is_level = _slopes(pixels) < config.slope_ths
    level, slanting = np.flatnonzero(is_level), np.flatnonzero(~is_level)
    ends = pixels[level].min(axis=1), pixels[level].max(axis=1)
    columns = np.stack([level, ends[0][:, 0], ends[1][:, 0], ends[0][:, 1], ends[1][:, 1]], axis=1)
    boxes = [_Box(*row) for row in columns.tolist()]
    groups = [part.boxes for row in _rows(boxes, config) for part in _parts(row, config)]
    level_lines = np.array([_outline(group, config) for group in groups]).reshape(-1, 4, 2)
    outlines = np.concatenate([level_lines, _widened(pixels[slanting], config)])
    words = [*(np.array([box.word for box in group]) for group in groups), *slanting[:, None]]
    is_kept = (np.ptp(outlines, axis=1).max(axis=1) > config.min_size) | (config.min_size == 0)
    return FoundLines(
        outlines[is_kept].astype(np.float32),
        tuple(compress(words, is_kept)),
        num_level=int(is_kept[: len(groups)].sum()),
    )


class _Box(NamedTuple):
    """A level word in pixels."""

    word: int
    left: int
    right: int
    top: int
    bottom: int

    @property
    def middle(self) -> float:
        return 0.5 * (self.top + self.bottom)

    @property
    def height(self) -> int:
        return self.bottom - self.top


class _Group:
    """Boxes with their means."""

    def __init__(self, first: _Box) -> None:
        self.boxes = [first]
        self._middles, self._heights = first.middle, first.height

    def add(self, box: _Box) -> None:
        self.boxes.append(box)
        self._middles += box.middle
        self._heights += box.height

    @property
    def middle(self) -> float:
        return self._middles / len(self.boxes)

    @property
    def height(self) -> float:
        return self._heights / len(self.boxes)


def _rows(boxes: list[_Box], config: LineConfig) -> list[_Group]:
    """Put together what is at the same height, over the whole width of the image."""
    rows: list[_Group] = []
    for box in sorted(boxes, key=lambda box: box.middle):
        row = rows[-1] if rows else None
        if row and abs(row.middle - box.middle) < config.ycenter_ths * row.height:
            row.add(box)
        else:
            rows.append(_Group(box))
    return rows


def _parts(row: _Group, config: LineConfig) -> list[_Group]:
    """Cut a row where there is a wide gap, or a word of another size."""
    parts: list[_Group] = []
    for box in sorted(row.boxes, key=lambda box: box.left):
        part = parts[-1] if parts else None
        is_alike = part and abs(part.height - box.height) < config.height_ths * part.height
        if part and is_alike and box.left - part.boxes[-1].right < config.width_ths * box.height:
            part.add(box)
        else:
            parts.append(_Group(box))
    return parts


def _slopes(quads: _Pixels) -> Float64[np.ndarray, "quads"]:
    """Return the steeper one of each upper and lower side."""
    upper, lower = quads[:, 1] - quads[:, 0], quads[:, 2] - quads[:, 3]
    sides = np.stack([upper, lower], axis=1)
    slopes = sides[..., 1] / np.maximum(_LEAST_RUN, sides[..., 0])
    steepest: Float64[np.ndarray, "quads"] = np.abs(slopes).max(axis=1)
    return steepest


def _outline(group: list[_Box], config: LineConfig) -> list[tuple[int, int]]:
    left, right = min(box.left for box in group), max(box.right for box in group)
    top, bottom = min(box.top for box in group), max(box.bottom for box in group)
    margin = int(config.add_margin * min(right - left, bottom - top))
    left, right, top, bottom = left - margin, right + margin, top - margin, bottom + margin
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _widened(quads: _Pixels, config: LineConfig) -> Float64[np.ndarray, "quads 4 2"]:
    """Move the corners outwards, in EasyOCR's directions."""
    sides = quads[:, [1, 3]] - quads[:, :1]
    shorter = np.sqrt(np.square(sides).sum(axis=2)).min(axis=1)
    margins = np.trunc(_DIAGONAL * config.add_margin * shorter)
    diagonals = quads[:, :2] - quads[:, 2:]
    slopes = diagonals[..., 1] / np.maximum(_LEAST_RUN, diagonals[..., 0])
    angles = np.abs(np.arctan(slopes))[:, [0, 1, 0, 1]]
    steps = np.stack([np.cos(angles), np.sin(angles)], axis=2) * margins[:, None, None]
    widened: Float64[np.ndarray, "quads 4 2"] = quads + steps * _OUTWARDS
    return widened
