"""Pieces of lines: where they are, which stand in one row, and which are columns side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from ocr_model.detection.quads import Corners, PerQuad, side_lengths

_SHARED = 0.4  # of the lower of two ends that the other must be beside
_SIZES = 3.0  # ratio of two heights in one row, at most: text on its side stands apart
_INTRUSION = 0.7  # heights that neighbours may overlap along the line

Indices = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class Pieces:
    """Words or runs of them, as arrays of one entry each, in a frame whose lines are level."""

    left: PerQuad
    top: PerQuad
    right: PerQuad
    bottom: PerQuad
    starts: Float64[np.ndarray, "quads 2"]
    """Where the left end begins and ends, downward: long pieces may slope."""
    ends: Float64[np.ndarray, "quads 2"]
    """The same of the right end."""
    height: PerQuad
    """Of the text, which a slope does not change."""

    def __len__(self) -> int:
        return len(self.left)

    @property
    def middle(self) -> PerQuad:
        """Rows of the middles."""
        return np.asarray((self.starts.mean(axis=1) + self.ends.mean(axis=1)) / 2)

    def take(self, indices: Indices) -> "Pieces":
        """Choose some."""
        return Pieces(*(values[np.asarray(indices, int)] for values in vars(self).values()))

    def join(self, groups: Sequence[Indices]) -> "Pieces":
        """Make one piece of each group, whose members go from left to right."""
        flat = np.concatenate([np.asarray(group, int) for group in groups])
        sizes = np.array([len(group) for group in groups])
        firsts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        lasts = firsts + sizes - 1
        return Pieces(
            np.minimum.reduceat(self.left[flat], firsts),
            np.minimum.reduceat(self.top[flat], firsts),
            np.maximum.reduceat(self.right[flat], firsts),
            np.maximum.reduceat(self.bottom[flat], firsts),
            self.starts[flat[firsts]],
            self.ends[flat[lasts]],
            np.add.reduceat(self.height[flat], firsts) / sizes,
        )


def from_corners(corners: Corners) -> Pieces:
    """Return words as pieces."""
    low, high = corners.min(axis=1), corners.max(axis=1)
    # The ends as the reader sees them, whichever corner is the first.
    by_column = np.take_along_axis(
        corners[..., 1], np.argsort(corners[..., 0], axis=1, kind="stable"), axis=1
    )
    height = np.minimum(side_lengths(corners)[1], high[:, 1] - low[:, 1])
    return Pieces(
        low[:, 0],
        low[:, 1],
        high[:, 0],
        high[:, 1],
        np.sort(by_column[:, :2], axis=1),
        np.sort(by_column[:, 2:], axis=1),
        np.maximum(height, 1.0),
    )


def link_rows(pieces: Pieces, reach: float) -> list[list[int]]:
    """Group pieces that stand beside each other, no further apart than `reach` heights.

    Two are linked if each is the other's nearest, so a piece between two rows breaks neither.

    Returns:
        Indices from left to right; every piece is in one group.
    """
    if not len(pieces):
        return []
    first, second, cost = _neighbours(pieces, reach)
    order = np.argsort(cost, kind="stable")
    first, second = first[order], second[order]
    following = np.full(len(pieces), -1)
    preceding = np.full(len(pieces), -1)
    following[first[::-1]] = second[::-1]  # the nearest is written last
    preceding[second[::-1]] = first[::-1]
    has_next = (following >= 0) & (preceding[following] == np.arange(len(pieces)))
    links = np.where(has_next, following, -1).tolist()
    heads = set(range(len(pieces))) - set(links)
    return [_walk(head, links) for head in sorted(heads)]


def _walk(place: int, links: list[int]) -> list[int]:
    found = [place]
    while (place := links[place]) >= 0:
        found.append(place)
    return found


def _neighbours(pieces: Pieces, reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs of a piece and one to the right of it in its row, and how far apart they are."""
    one, other = _level_pairs(pieces)
    centre = pieces.left + pieces.right
    is_left = centre[one] < centre[other]
    first, second = np.where(is_left, one, other), np.where(is_left, other, one)
    gap = pieces.left[second] - pieces.right[first]
    ends, starts = pieces.ends[first], pieces.starts[second]
    shared = np.minimum(ends[:, 1], starts[:, 1]) - np.maximum(ends[:, 0], starts[:, 0])
    lower = np.minimum(ends[:, 1] - ends[:, 0], starts[:, 1] - starts[:, 0])
    height = np.maximum(pieces.height[first], pieces.height[second])
    least = np.minimum(pieces.height[first], pieces.height[second])
    is_near = (gap <= reach * height) & (gap >= -_INTRUSION * least)
    is_near &= (shared >= _SHARED * lower) & (centre[one] != centre[other])
    is_near &= height <= _SIZES * least
    cost = np.maximum(gap, 0) + np.abs(ends.mean(axis=1) - starts.mean(axis=1))
    return first[is_near], second[is_near], cost[is_near]


def _level_pairs(pieces: Pieces) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of which one's middle is about as high as the other."""
    order = np.argsort(pieces.middle, kind="stable")
    middles = pieces.middle[order]
    low = np.searchsorted(middles, pieces.top - pieces.height / 2)
    high = np.searchsorted(middles, pieces.bottom + pieces.height / 2)
    counts = high - low
    one = np.repeat(np.arange(len(pieces)), counts)
    places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    other = order[np.repeat(low, counts) + places]
    return one, other
