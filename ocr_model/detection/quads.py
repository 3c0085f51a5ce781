"""The geometry of quads that cropping, orientation and reading order share."""

import cv2
import numpy as np
from jaxtyping import Float, Float32, Float64

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


def areas_of(corners: Float32[np.ndarray, "_ 4 2"]) -> Float64[np.ndarray, " quads"]:
    """Return the areas of quads."""
    return np.array([cv2.contourArea(quad) for quad in corners], np.float64)


def intersections(
    ones: Float32[np.ndarray, "ones 4 2"], others: Float32[np.ndarray, "others 4 2"]
) -> Float64[np.ndarray, "ones others"]:
    """Return the areas that convex quads share; only near pairs are computed."""
    overlaps = np.zeros((len(ones), len(others)))
    if overlaps.size:
        low_a, high_a = ones.min(axis=1)[:, None], ones.max(axis=1)[:, None]
        low_b, high_b = others.min(axis=1)[None], others.max(axis=1)[None]
        is_near = ((low_a < high_b) & (low_b < high_a)).all(axis=2)
        for row, column in np.argwhere(is_near):
            overlaps[row, column], _ = cv2.intersectConvexConvex(ones[row], others[column])
    return overlaps


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the value that half of the weight is below; there must be one."""
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(sums, sums[-1] / 2)]])


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9))


def over_unions(
    shared: Float64[np.ndarray, "one other"],
    areas: Float64[np.ndarray, " one"],
    other_areas: Float64[np.ndarray, " other"],
) -> Float64[np.ndarray, "one other"]:
    """Return intersections over unions (IoU), in [0, 1], 0 of nothing, by `intersections`."""
    unions = areas[:, None] + other_areas[None] - shared
    ious = np.zeros_like(shared)
    np.divide(shared, unions, out=ious, where=unions > 0)
    return ious
