"""Where the texts of a scene stand: at angles, in perspective, on arcs; never one on another."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8
from pydantic import Field

from ocr_model.config import Config
from ocr_model.data.draws import Number, between
from ocr_model.data.synthetic.page_words import Quad
from ocr_model.data.synthetic.stages import CurveConfig
from ocr_model.data.synthetic.warp import Bend, Homography, corners_of, rim

GRID = 4
"""Pixels of a cell of the map of what is taken."""
SHADOW_REACH = 0.06
"""How far a board's shadow falls, as a share of its height."""
_ATTEMPTS = 8  # places tried for a text before it is left out
_RIM = 2  # pixels of the picture that stay free of ink
_SLANT = 0.15
_STRETCH = 0.25


class PlacementConfig(Config):
    """How texts of a scene lie."""

    rotation_degrees: float = Field(35.0, ge=0, le=90)
    """Largest angle; most texts are nearly level."""
    perspective: float = Field(0.25, ge=0, lt=0.5)
    """How much smaller one end of a text may be than its middle, as a share."""
    curve: CurveConfig = CurveConfig()
    """Of texts of one line."""


@dataclass(frozen=True)
class Placement:
    """Where a panel comes to lie in the picture."""

    homography: Homography
    """From edges to edges: 0 is the outer edge of the first pixel."""
    bend: Bend | None
    board: Quad
    """Corners of a sign around the text."""
    bounds: tuple[int, int, int, int]
    """Left, top, right, bottom of the part of the picture that holds the board and its shadow."""

    def forward(self, quads: Float32[np.ndarray, "chars 4 2"]) -> (
        Float32[np.ndarray, "chars 4 2"]
    ):  # fmt: skip
        """Map quads of the panel to the picture."""
        points = quads.reshape(-1, 2)
        if self.bend is not None:
            points = self.bend.forward(points)
        moved: np.ndarray = cv2.perspectiveTransform(points[None], self.homography)
        return moved.reshape(-1, 4, 2)

    def word_quad(self, boxes: Float32[np.ndarray, "chars 4"]) -> Quad:
        """Return the quad around a word; around one on an arc, turned with its middle."""
        corners = corners_of(boxes).reshape(-1, 2)
        turn = np.eye(2)
        if self.bend is not None:
            middle = (boxes[:, 0].min() + boxes[:, 2].max()) / 2
            angle = (middle - self.bend.centre) / self.bend.radius
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            corners = self.bend.forward(corners) @ turn
        box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
        quad = (corners_of(box[None].astype(np.float32))[0] @ turn.T).astype(np.float32)
        moved: Quad = cv2.perspectiveTransform(quad[None], self.homography)[0]
        return moved


def place_panel(
    ink_box: tuple[float, float, float, float],
    scale: Number,
    size: tuple[int, int],
    config: PlacementConfig,
    rng: np.random.Generator,
    is_taken: UInt8[np.ndarray, "_rows _columns"],
    *,
    pad: Number,
    is_one_line: bool,
) -> Placement | None:
    """Find room for a panel and take it.

    Args:
        ink_box: Left, top, right, bottom of the panel's ink.
        scale: Pixels of the picture per pixel of the panel.
        size: Of the picture: height, width.
        config: How it may lie.
        rng: Decides everything.
        is_taken: Cells of the picture where other texts are; changed in place.
        pad: Pixels of the panel around its ink that belong to it.
        is_one_line: Whether it may be bent.

    Returns:
        None where there is no room.
    """
    bend = config.curve.draw(ink_box, rng) if is_one_line else None
    edge = rim(ink_box, 2 if bend is None else 9)
    if bend is not None:
        edge = bend.forward(edge)
    low, high = edge.min(axis=0) - pad, edge.max(axis=0) + pad
    flat = np.array([low, [high[0], low[1]], high, [low[0], high[1]]], np.float32)
    board = _draw_corners(flat, scale, config, rng)
    room = np.array(size[::-1]) - 2 * _RIM - np.ptp(board, axis=0)
    if (room <= 0).any():
        return None
    board -= board.min(axis=0) - _RIM
    for _ in range(_ATTEMPTS):
        moved = (board + rng.random(2) * room).astype(np.float32)
        cells = np.zeros_like(is_taken)
        cv2.fillConvexPoly(cells, (moved / GRID).astype(np.int32), 1)
        if not (cells & is_taken).any():
            is_taken |= cells
            homography = cv2.getPerspectiveTransform(flat, moved)
            return Placement(homography, bend, moved, _bounds(moved, size))
    return None


def _bounds(board: Quad, size: tuple[int, int]) -> tuple[int, int, int, int]:
    low, high = board.min(axis=0), board.max(axis=0)
    reach = SHADOW_REACH * float(high[1] - low[1]) + 2
    left, top = (max(0, int(edge - reach)) for edge in low)
    right, bottom = (
        min(side, int(edge + reach) + 1) for edge, side in zip(high, size[::-1], strict=True)
    )
    return left, top, right, bottom


def _draw_corners(
    flat: Quad, scale: Number, config: PlacementConfig, rng: np.random.Generator
) -> Float64[np.ndarray, "4 2"]:
    """Draw where the corners of a box go, around (0, 0)."""
    angle = np.radians(between(rng, -1, 1) ** 3 * config.rotation_degrees)
    slant = between(rng, -1, 1) ** 3 * _SLANT
    wide = 1 + between(rng, -1, 1) * _STRETCH
    cosine, sine = np.cos(angle), np.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ [[wide, slant], [0, 1]]
    corners = (flat - flat.mean(axis=0)).astype(np.float64) * scale
    # The far end is lower, and its middle as high as the eyes or not.
    depth = between(rng, -1, 1) ** 3 * config.perspective
    ends = np.array([1 - depth, 1 + depth, 1 + depth, 1 - depth])
    corners[:, 1] = corners[:, 1] * ends + np.sign(corners[:, 0]) * (
        depth * between(rng, -1, 1) * np.ptp(corners[:, 1])
    )
    turned: np.ndarray = corners @ linear.T
    return turned
