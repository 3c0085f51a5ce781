"""From maps to words: what EasyOCR finds, without its passes over the map.

For every word EasyOCR's `getDetBoxes` masks, dilates and searches arrays as large as the map. Here
the map is read once for all words, and each word is then only the ends of its rows. OpenCV and
NumPy release the interpreter lock in their parts, so pages may share a process as threads.

Source: CRAFT (arXiv:1904.01941), 3.3; easyocr 1.7.2, `craft_utils.getDetBoxes_core`. We give no
curved polygons, and do not estimate numbers of characters.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Int32, Integer

from ocr_model.detection.maps import DEFAULT_BOXES, BoxConfig, Quads, TextMaps
from ocr_model.detection.quads import PerQuad, areas_of, intersections, side_lengths

_LEAST_AREA = 10  # cells
_SQUARE_TOLERANCE = 0.1  # of the ratio of sides up to which a box stands upright
_LARGE_CELLS = 24  # height from which on a word may be cut in parts: 48 pixels that are seen
_LEAST_CELLS_SMALLER = 14  # height from which on a word that is seen at half the size counts
_LINE_HEIGHT = 0.5  # of a word that lines of small words look like where they are seen smaller
_LINE_WIDTH = 2.0  # of its height: such a small word's
_SMALL_HEIGHT = 0.25  # of the large word: a small word's, however wide

_Points = Int32[np.ndarray, "_ 2"]


@dataclass(frozen=True)
class FoundWords:
    """The words of an image, from its top to its bottom."""

    quads: Quads
    confidences: Float32[np.ndarray, "quads"]
    """The highest value of each in the region map, in [0, 1]: the `text_threshold` from which on
    it would not have been found."""


def find_words(maps: TextMaps, config: BoxConfig = DEFAULT_BOXES) -> FoundWords:
    """Return the smallest rectangles, of any angle, around the words of the maps.

    A word is what is connected in either map. Its rectangle may reach out of the image by a few
    pixels. Large ones are taken from the maps of the image seen smaller, if there are such.
    """
    found = _words_of(maps, config)
    if maps.smaller is None:
        return found
    return _with_large(found, find_words(maps.smaller, config), maps.smaller)


def may_have_large_words(maps: TextMaps, config: BoxConfig = DEFAULT_BOXES) -> bool:
    """Return whether there is anything so high that it may be a part of something, or nothing.

    So it is of 3 of 30 forms, and of 38 of 40 street views; looking at the others' half size too
    finds no more.
    """
    heights = _heights(_words_of(maps, config).quads)
    return not len(heights) or bool(heights.max() >= _LARGE_CELLS * np.mean(maps.pixels_per_cell))


def _with_large(found: FoundWords, smaller: FoundWords, maps: TextMaps) -> FoundWords:
    """Let large words, seen smaller, take the place of what lies in them, unless it is lines."""
    is_large = _heights(smaller.quads) >= _LEAST_CELLS_SMALLER * np.mean(maps.pixels_per_cell)
    large, confidences = smaller.quads[is_large], smaller.confidences[is_large]
    areas, heights = areas_of(found.quads), _heights(found.quads)
    is_within = intersections(found.quads, large) > 0.5 * areas[:, None]
    shares = heights[:, None] / _heights(large)
    is_wide = areas > _LINE_WIDTH * np.square(heights)
    is_in_line = (shares < _SMALL_HEIGHT) | ((shares < _LINE_HEIGHT) & is_wide[:, None])
    in_lines = areas @ (is_within & is_in_line)
    is_one = in_lines <= 0.5 * (areas @ is_within)
    is_kept = ~is_within[:, is_one].any(axis=1)
    quads = np.concatenate([found.quads[is_kept], large[is_one]])
    peaks = np.concatenate([found.confidences[is_kept], confidences[is_one]])
    order = np.argsort(quads[:, :, 1].min(axis=1), kind="stable")
    return FoundWords(quads[order], peaks[order])


def _heights(quads: Quads) -> PerQuad:
    width, height = side_lengths(quads)
    return np.asarray(np.minimum(width, height))


def _words_of(maps: TextMaps, config: BoxConfig) -> FoundWords:
    runs = _find_runs(maps, config)
    starts = np.flatnonzero(np.diff(runs.labels, prepend=0))  # the first run of each word
    if not len(starts):
        return FoundWords(np.zeros((0, 4, 2), np.float32), np.zeros(0, np.float32))
    peaks = np.maximum.reduceat(runs.peaks, starts)
    areas = runs.stats[starts, cv2.CC_STAT_AREA]
    kept = np.flatnonzero((peaks >= config.text_threshold) & (areas >= _LEAST_AREA))
    ends = np.append(starts[1:], len(runs.labels))
    corners = _grown_corners(runs, maps.region.shape)
    words = [corners[starts[word] : ends[word]].reshape(-1, 2) for word in kept]
    quads = _from_top_left(_smallest_rectangles(words)) * np.array(maps.pixels_per_cell)
    return FoundWords(quads.astype(np.float32), peaks[kept].clip(max=1))


@dataclass(frozen=True)
class _Runs:
    """Cells of the region map that follow each other in a row, those of a word together."""

    labels: Int32[np.ndarray, "runs"]
    """Number of the word that each is of, from 1, ascending."""
    rows: Integer[np.ndarray, "runs"]
    firsts: Integer[np.ndarray, "runs"]
    """Columns of the first cells."""
    lasts: Integer[np.ndarray, "runs"]
    peaks: Float32[np.ndarray, "runs"]
    stats: Int32[np.ndarray, "runs 5"]
    """OpenCV's of the whole word, of which cells that only link are a part."""


def _find_runs(maps: TextMaps, config: BoxConfig) -> _Runs:
    is_text = maps.region > config.low_text
    is_ink = is_text | (maps.affinity > config.link_threshold)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(is_ink.view(np.uint8), connectivity=4)
    walled = np.pad(is_text, ((0, 0), (1, 1))).ravel()  # no run goes on in the next row
    edges = np.flatnonzero(walled[1:] != walled[:-1])
    rows, columns = np.divmod(edges, is_text.shape[1] + 2)
    rows, firsts, lasts = rows[::2], columns[::2], columns[1::2] - 1
    before = np.cumsum(lasts - firsts + 1) - (lasts - firsts + 1)
    values = maps.region[is_text]  # of all runs, one after the other
    peaks = np.maximum.reduceat(values, before) if len(before) else values
    of_word = labels[rows, firsts]
    order = np.argsort(of_word, kind="stable")
    by_word = (column[order] for column in (of_word, rows, firsts, lasts, peaks, stats[of_word]))
    return _Runs(*by_word)


def _grown_corners(runs: _Runs, shape: tuple[int, ...]) -> Int32[np.ndarray, "runs 4 2"]:
    """Return corners of the runs as dilation by a square, within the map, leaves them.

    The heat of characters ends before they do. The square's side follows from the height of the
    word and how much of its upright box is filled; an even one reaches further right and down.
    """
    sizes = runs.stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].astype(np.int64)
    areas = runs.stats[:, cv2.CC_STAT_AREA]
    growth = (np.sqrt(areas * sizes.min(axis=1) / sizes.prod(axis=1)) * 2).astype(np.int64)
    back, ahead = growth // 2, (growth + 1) // 2
    lefts = np.maximum(runs.firsts - back, 0)
    tops = np.maximum(runs.rows - back, 0)
    rights = np.minimum(runs.lasts + ahead, shape[1] - 1)
    bottoms = np.minimum(runs.rows + ahead, shape[0] - 1)
    corners = [lefts, tops, rights, tops, rights, bottoms, lefts, bottoms]
    return np.stack(corners, axis=1).astype(np.int32).reshape(-1, 4, 2)


def _smallest_rectangles(words: list[_Points]) -> Quads:
    """Return them in cells; those that are nearly square stand upright, whatever is smallest."""
    rectangles = [cv2.boxPoints(cv2.minAreaRect(points)) for points in words]
    quads = np.array(rectangles, np.float32).reshape(-1, 4, 2)
    sides = np.sqrt(np.square(quads[:, :2] - quads[:, 1:3]).sum(axis=2))
    ratios = sides.max(axis=1) / (sides.min(axis=1) + np.float32(1e-5))
    for word in np.flatnonzero(np.abs(1 - ratios) <= _SQUARE_TOLERANCE):
        left, top, width, height = cv2.boundingRect(words[word])
        right, bottom = left + width - 1, top + height - 1
        quads[word] = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return quads


def _from_top_left(quads: Quads) -> Quads:
    """Turn the order of corners so that the one nearest to the image's comes first."""
    nearest = quads.sum(axis=2).argmin(axis=1)
    order = (nearest[:, None] + np.arange(4)) % 4
    return np.take_along_axis(quads, order[:, :, None], axis=1)
