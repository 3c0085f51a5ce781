"""The geometry of quads that cropping, orientation and reading order share."""

import numpy as np
from jaxtyping import Float, Float64

Corners = Float[np.ndarray, "quads 4 2"]
"""As `Quads`, in any precision."""
PerQuad = Float64[np.ndarray, " quads"]
Vectors = Float64[np.ndarray, "quads 2"]


def side_lengths(corners: Corners) -> tuple[PerQuad, PerQuad]:
    """Return width and height along and across the text: the means of opposite sides."""
    corners = corners.astype(np.float64)
    sides = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    return (sides[:, 0] + sides[:, 2]) / 2, (sides[:, 1] + sides[:, 3]) / 2


def directions(corners: Corners) -> tuple[Vectors, Vectors]:
    """Return unit vectors along the text and down it; zero where a quad has no extent."""
    first, second, third, fourth = corners.astype(np.float64).transpose(1, 0, 2)
    return _unit(second + third - first - fourth), _unit(third + fourth - first - second)


def rectangles(low: Vectors, high: Vectors) -> Float64[np.ndarray, "quads 4 2"]:
    """Return the upright rectangles from (left, top) to (right, bottom)."""
    left, top, right, bottom = *low.T, *high.T
    return np.stack([left, top, right, top, right, bottom, left, bottom], axis=1).reshape(-1, 4, 2)


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the value that half of the weight is below; there must be one."""
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(sums, sums[-1] / 2)]])


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9))
