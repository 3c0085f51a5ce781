"""From the plane that a text is set on to the picture: a bend around an arc, then a homography."""

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, Float64

from ocr_model.data.draws import Number
from ocr_model.data.effects import power_of_two
from ocr_model.data.synthetic.fonts import Mask

Points = Float32[np.ndarray, "_points 2"]
Plane = Float32[np.ndarray, "_height _width"]
Homography = Float64[np.ndarray, "3 3"]


_CELL = 4  # pixels
_CORNERS = np.array([0, 1, 2, 1, 2, 3, 0, 3])  # of left, top, right, bottom


@dataclass(frozen=True)
class Bend:
    """A straight line laid along an arc; letters turn with it."""

    centre: float
    """Column that stays in place."""
    baseline: float
    """Row that keeps its length."""
    radius: float
    """Pixels; positive for an arch, negative for a bowl."""

    def forward(self, points: Points) -> Points:
        """Map points of the straight line to the arc."""
        angle = (points[:, 0] - self.centre) / self.radius
        distance = self.radius - (points[:, 1] - self.baseline)
        x = self.centre + distance * np.sin(angle)
        y = self.baseline + self.radius - distance * np.cos(angle)
        return _points(x, y)

    def backward(self, x: Plane, y: Plane) -> tuple[Plane, Plane]:
        """Map points of the arc back; columns and rows apart, as that is much faster."""
        sign = np.float32(math.copysign(1, self.radius))
        dx = sign * (x - np.float32(self.centre))
        dy = sign * (np.float32(self.baseline + self.radius) - y)
        columns: np.ndarray = np.arctan2(dx, dy)
        columns *= np.float32(self.radius)
        columns += np.float32(self.centre)
        rows: np.ndarray = cv2.magnitude(dx, dy)
        rows *= -sign
        rows += np.float32(self.baseline + self.radius)
        return columns, rows


@dataclass(frozen=True)
class Warp:
    """Where points of a mask come to lie in a picture, and the other way round."""

    homography: Homography
    bend: Bend | None
    height: int
    width: int
    """Of the picture, in pixels."""

    def apply(self, layers: list[Mask]) -> list[Mask]:
        """Draw masks of one size into the picture, all at once; nothing is where they end."""
        size = (self.width, self.height)
        # Four channels are warped faster than three, and in half the time of two.
        stack = layers[0] if len(layers) == 1 else cv2.merge([*layers, *layers][:4])
        if self.bend is None:
            warped = cv2.warpPerspective(stack, self.homography, size, flags=cv2.INTER_LINEAR)
        else:
            _, back = cv2.invert(self.homography)
            x, y = cv2.split(cv2.perspectiveTransform(_grid(*size), back))
            columns, rows = (_between_grid(plane, size) for plane in self.bend.backward(x, y))
            warped = cv2.remap(stack, columns, rows, cv2.INTER_LINEAR)
        return [warped] if warped.ndim == 2 else list(cv2.split(warped))[: len(layers)]

    def forward(self, points: Points) -> Points:
        """Map points of the mask to the picture."""
        bent = points if self.bend is None else self.bend.forward(points)
        moved: Points = cv2.perspectiveTransform(bent[None], self.homography)[0]
        return moved


def _points(x: np.ndarray, y: np.ndarray) -> Points:
    points = np.empty((len(x), 2), np.float32)
    points[:, 0], points[:, 1] = x, y
    return points


def corners_of(boxes: Float32[np.ndarray, "boxes 4"]) -> Float32[np.ndarray, "boxes 4 2"]:
    """Return the corners of boxes of left, top, right, bottom."""
    return boxes.take(_CORNERS, axis=1).reshape(-1, 4, 2)


def rim(box: tuple[Number, Number, Number, Number], num_points: int) -> Points:
    """Return points along the upper and lower edge of a box."""
    left, top, right, bottom = box
    size = np.array((right - left, bottom - top), np.float32)
    return _unit_rim(num_points) * size + np.array((left, top), np.float32)


@lru_cache(maxsize=4)
def _unit_rim(num_points: int) -> Points:
    along = np.linspace(0, 1, num_points)
    return _points(np.tile(along, 2), np.repeat((0, 1), num_points))


def _grid(width: int, height: int) -> Float32[np.ndarray, "_rows _columns 2"]:
    """Return the middle (x, y) of every cell, and of one more around them on each side.

    A bend is so smooth that what lies between may be interpolated: arcs cost a tenth.
    """
    rows, columns = -(-height // _CELL) + 2, -(-width // _CELL) + 2
    return _large_grid(power_of_two(rows), power_of_two(columns))[:rows, :columns]


def _between_grid(plane: Plane, size: tuple[int, int]) -> Plane:
    """Give every pixel of a picture (width, height) its value, from those of the grid."""
    rows, columns = plane.shape
    full = cv2.resize(plane, (columns * _CELL, rows * _CELL))
    return full[_CELL : _CELL + size[1], _CELL : _CELL + size[0]]


@lru_cache(maxsize=64)
def _large_grid(
    num_rows: int, num_columns: int
) -> Float32[np.ndarray, "{num_rows} {num_columns} 2"]:
    y, x = np.mgrid[:num_rows, :num_columns].astype(np.float32)
    grid: np.ndarray = (np.stack([x, y], axis=-1) - 1) * _CELL + np.float32((_CELL - 1) / 2)
    grid.flags.writeable = False
    return grid
