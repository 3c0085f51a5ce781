"""From the plane that a text is set on to the picture: a bend around an arc, then a homography."""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from ocr_model.data.draws import Number

Points = Float32[np.ndarray, "_points 2"]
Homography = Float64[np.ndarray, "3 3"]


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

    def backward(self, points: Points) -> Points:
        """Map points of the arc back."""
        sign = np.sign(self.radius)
        dx = points[:, 0] - self.centre
        dy = self.baseline + self.radius - points[:, 1]
        distance = sign * np.hypot(dx, dy)
        x = self.centre + self.radius * np.arctan2(sign * dx, sign * dy)
        y = self.baseline + self.radius - distance
        return _points(x, y)


@dataclass(frozen=True)
class Warp:
    """Where points of a mask come to lie in a picture, and the other way round."""

    homography: Homography
    bend: Bend | None
    height: int
    width: int
    """Of the picture, in pixels."""

    def apply(self, mask: UInt8[np.ndarray, "_rows _columns"]) -> (
        UInt8[np.ndarray, "{self.height} {self.width}"]
    ):  # fmt: skip
        """Draw a mask into the picture; nothing is where the mask ends."""
        size = (self.width, self.height)
        if self.bend is None:
            return cv2.warpPerspective(mask, self.homography, size, flags=cv2.INTER_LINEAR)
        grid = cv2.perspectiveTransform(_grid(*size), np.linalg.inv(self.homography))
        maps = self.bend.backward(grid[0]).reshape(self.height, self.width, 2)
        bent: np.ndarray = cv2.remap(mask, maps[..., 0], maps[..., 1], cv2.INTER_LINEAR)
        return bent

    def forward(self, points: Points) -> Points:
        """Map points of the mask to the picture."""
        bent = points if self.bend is None else self.bend.forward(points)
        moved: Points = cv2.perspectiveTransform(bent[None], self.homography)[0]
        return moved


def _points(x: np.ndarray, y: np.ndarray) -> Points:
    points = np.empty((len(x), 2), np.float32)
    points[:, 0], points[:, 1] = x, y
    return points


def rim(box: tuple[Number, Number, Number, Number], num_points: int) -> Points:
    """Return points along the upper and lower edge of a box."""
    left, top, right, bottom = box
    along = np.linspace(left, right, num_points, dtype=np.float32)
    points = np.empty((2 * num_points, 2), np.float32)
    points[:, 0] = np.concatenate([along, along])
    points[:num_points, 1], points[num_points:, 1] = top, bottom
    return points


@lru_cache(maxsize=64)
def _grid(width: int, height: int) -> Float32[np.ndarray, "1 pixels 2"]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    grid = np.stack([x.ravel(), y.ravel()], axis=1)[None]
    grid.flags.writeable = False
    return grid
