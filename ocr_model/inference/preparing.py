"""Pictures of any kind and size to what the network takes; a picture that is none to a reason."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from ocr_model.errors import ImageError
from ocr_model.image import (
    ImageGeometry,
    ImageInput,
    Pixels,
    content_columns,
    decode_image,
    resize_image,
)
from ocr_model.inference.long_words import part_bounds
from ocr_model.inference.options import ReadOptions

Part = UInt8[np.ndarray, "_height _width 3"]
"""Pixels at the model's height, not padded; of another width than its neighbours."""

_VERTICAL = 1.5  # height by width from which a crop may hold a line turned on its side


@dataclass(frozen=True)
class View:
    """A picture turned to one side, in parts."""

    rotation: int
    """Degrees clockwise by which the picture was turned: 0, 90, 180 or 270."""
    parts: list[Part]
    bounds: list[tuple[int, int]]
    """Where each part begins and ends, in pixels of the turned picture."""


@dataclass(frozen=True)
class Prepared:
    """A picture ready to be read, or why it cannot be."""

    views: list[View]
    error: str = ""


def prepare(image: ImageInput, geometry: ImageGeometry, options: ReadOptions) -> Prepared:
    """Decode, turn, cut and scale one picture; never raises for a bad one."""
    try:
        pixels = decode_image(image)
    except ImageError as error:
        return Prepared([], str(error))
    rotations = [0]
    if options.orientations != "upright" and pixels.shape[0] > _VERTICAL * pixels.shape[1]:
        rotations = [0, 90, 270]
    elif options.orientations == "plausible":
        rotations = [0, 180]
    return Prepared([_view(pixels, rotation, geometry, options) for rotation in rotations])


def _view(pixels: Pixels, rotation: int, geometry: ImageGeometry, options: ReadOptions) -> View:
    turned: Pixels = np.rot90(pixels, -rotation // 90) if rotation else pixels
    height, width = turned.shape[:2]
    bounds = part_bounds(height, width, geometry) if options.cuts_long_words else [(0, width)]
    parts = [
        resize_image(
            np.ascontiguousarray(turned[:, left:right]),
            geometry.height,
            content_columns(height, right - left, geometry),
        )
        for left, right in bounds
    ]
    return View(rotation, parts, bounds)
