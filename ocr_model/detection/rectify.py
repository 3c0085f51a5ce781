"""From quads on a page to straight crops of words, as the recogniser takes them.

Source: the map of the unit square to a quadrilateral is Heckbert's closed form (Fundamentals of
Texture Mapping and Image Warping, 1989, 2.2.3): numpy does it for all words at once.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float64, UInt8
from pydantic import Field

from ocr_model.config import Config
from ocr_model.detection.maps import Quads
from ocr_model.detection.quads import PerQuad, Vectors, directions, rectangles, side_lengths
from ocr_model.image import PADDING_VALUE, ImageGeometry, Pixels, resize_image

Crop = UInt8[np.ndarray, "_crop_height _crop_width 3"]
"""Pixels at the model's height, not padded; of another width than its neighbours."""

_LONGEST = 64  # heights: what is longer is no text, and squeezed to this
_LEVEL = 0.5  # pixels that corners may be off a level rectangle
_ALONG_AXIS = 0.2  # sine of the slope (12 degrees) up to which rows and columns shrink apart
_PACE = 1.25  # pixels from one sample to the next, at most
_DENSEST = 8  # samples along each side of a crop's pixel
_FLATTEST = 1e-3  # square pixels: what turns less at a corner is no quad

_Corners = Float64[np.ndarray, "quads 4 2"]
_Limits = Float64[np.ndarray, " 2"]
_Matrices = Float64[np.ndarray, "quads 3 3"]


class RectifyConfig(Config):
    """How words are cut out of a page."""

    margin: float = Field(0.05, ge=0, le=1)
    """Heights of a word that are seen around it, on each side. Around the true polygons of FUNSD
    and SVT a recogniser of IIIT5K, IC15 and SVT crops reads as well with 0 as with 0.1 (33.4 and
    33.0 % of 1,899 words of FUNSD), and worse with more (0.15: 29.8 %, 0.3: 21.6 %)."""


DEFAULT_CROPS = RectifyConfig()


class _Plan(NamedTuple):
    """How each quad becomes a crop; rows are quads."""

    is_seen: Bool[np.ndarray, " quads"]
    """Whether any of it is in the image."""
    is_level: Bool[np.ndarray, " quads"]
    """Whether it is a whole, level rectangle of pixels, which need only be scaled."""
    windows: np.ndarray
    """Left, top, right, bottom in whole pixels of the image."""
    shrunk: np.ndarray
    """Width and height to which the window is scaled first."""
    sampled: np.ndarray
    """Width and height at which it is warped."""
    homographies: _Matrices
    """From pixels of what is warped to those of the shrunk window."""
    widths: np.ndarray
    """Of the crops, in pixels."""


def rectify(
    pixels: Pixels,
    quads: Quads,
    geometry: ImageGeometry,
    config: RectifyConfig = DEFAULT_CROPS,
) -> list[Crop]:
    """Cut words out and straighten them, each by one warp of its surroundings.

    What shrinks is first scaled by area, as `ocr_model.image.fit_image` does: a warp alone would
    skip pixels. A level quad gives what `fit_image` would of the same pixels. Crops have the
    geometry's height and, with `fit=pad`, the width that keeps a word's shape, even if the
    recogniser must cut it in parts; with `fit=stretch` the geometry's.

    A quad may leave the image, whose border then goes on. One that crosses itself, turns
    anticlockwise or has no area is replaced by its bounding rectangle, of a pixel at least. One
    that is not finite or wholly outside gives a grey crop as wide as it is high: there is
    nothing to read.
    """
    if not len(quads):
        return []
    plan = _plan(pixels.shape[:2], quads, geometry, config)
    blank_width = geometry.width if geometry.fit == "stretch" else geometry.height
    blank = np.full((geometry.height, blank_width, 3), PADDING_VALUE, np.uint8)
    return [
        _crop(pixels, plan, row, geometry.height) if is_seen else blank.copy()
        for row, is_seen in enumerate(plan.is_seen.tolist())
    ]


def _crop(pixels: Pixels, plan: _Plan, row: int, height: int) -> Crop:
    left, top, right, bottom = plan.windows[row].tolist()
    window, width = pixels[top:bottom, left:right], int(plan.widths[row])
    if plan.is_level[row]:
        return resize_image(window, height, width)
    window = cv2.cvtColor(_halve(window, *plan.shrunk[row].tolist()), cv2.COLOR_RGB2RGBA)
    crop = cv2.warpPerspective(  # four channels take 60 % of the time of three
        window,
        plan.homographies[row],
        plan.sampled[row].tolist(),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if crop.shape[:2] != (height, width):
        crop = cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(crop, cv2.COLOR_RGBA2RGB)


def _halve(window: Crop, width: int, height: int) -> Crop:
    """Shrink by powers of two, a step at a time: 12 times as fast as by other factors."""
    while window.shape[:2] != (height, width):
        size = (max(width, window.shape[1] // 2), max(height, window.shape[0] // 2))
        window = cv2.resize(window, size, interpolation=cv2.INTER_AREA)
    return window


def _plan(
    image_size: tuple[int, int], quads: Quads, geometry: ImageGeometry, config: RectifyConfig
) -> _Plan:
    limits = np.array(image_size[::-1], np.float64)  # along x and y
    is_finite = np.isfinite(quads).all(axis=(1, 2))
    corners = np.where(is_finite[:, None, None], quads, 0).astype(np.float64)
    # Far corners only cost precision; one image beyond the border there is nothing new.
    corners = np.clip(_widen(corners, config.margin), -limits, 2 * limits)
    corners = np.where(_is_convex(corners)[:, None, None], corners, _bounding(corners))
    is_level, corners = _snap_level(corners, limits)
    low, high = corners.min(axis=1), corners.max(axis=1)
    is_seen = is_finite & (high > 0).all(axis=1) & (low < limits).all(axis=1)

    sides = np.stack(side_lengths(corners), axis=1)
    widths = _crop_widths(sides, geometry)
    sizes = np.stack([widths, np.full_like(widths, geometry.height)], axis=1)
    scales = np.maximum(sides / sizes, 1.0)
    slopes = np.abs(directions(corners)[0])
    factors = np.where(is_level[:, None], 1.0, _shrink_factors(slopes, scales, limits))
    starts, ends = _windows(low, high, factors, limits)
    starts, ends = np.where(is_level[:, None], (low, high), (starts, ends))
    # What is left of shrinking is sampled densely, and scaled by area after the warp.
    along_sides = np.where(slopes[:, 1:] > slopes[:, :1], factors[:, ::-1], factors)
    sampled = sizes * np.clip(np.ceil(scales / along_sides / _PACE), 1, _DENSEST)
    return _Plan(
        is_seen=is_seen,
        is_level=is_level,
        windows=np.concatenate([starts, ends], axis=1).astype(int),
        shrunk=((ends - starts) / factors).astype(int),
        sampled=sampled.astype(int),
        homographies=_homographies(corners, starts, factors, sampled),
        widths=widths.astype(int),
    )


def _widen(corners: _Corners, margin: float) -> _Corners:
    """Move all edges outward by a share of the height."""
    along, down = directions(corners)
    reach = margin * side_lengths(corners)[1][:, None]
    steps = [-along - down, along - down, along + down, down - along]
    return np.asarray(corners + np.stack([reach * step for step in steps], axis=1))


def _is_convex(corners: _Corners) -> Bool[np.ndarray, " quads"]:
    """Say whether all four corners turn clockwise."""
    edges = np.roll(corners, -1, axis=1) - corners
    following = np.roll(edges, -1, axis=1)
    turns = edges[..., 0] * following[..., 1] - edges[..., 1] * following[..., 0]
    return np.asarray((turns > _FLATTEST).all(axis=1))


def _bounding(corners: _Corners) -> _Corners:
    """Return upright rectangles around the corners, of a pixel at least."""
    low, high = corners.min(axis=1), corners.max(axis=1)
    lacking = np.maximum(1 - (high - low), 0) / 2
    return rectangles(low - lacking, high + lacking)


def _snap_level(corners: _Corners, limits: _Limits) -> tuple[Bool[np.ndarray, " quads"], _Corners]:
    """Move level rectangles to whole pixels: they need no warp, which blurs a little."""
    low, high = np.rint(corners.min(axis=1)), np.rint(corners.max(axis=1))
    high = np.maximum(high, low + 1)
    snapped = rectangles(low, high)
    is_level = np.abs(snapped - corners).max(axis=(1, 2)) <= _LEVEL
    is_level &= (low >= 0).all(axis=1) & (high <= limits).all(axis=1)
    return is_level, np.where(is_level[:, None, None], snapped, corners)


def _crop_widths(sides: Vectors, geometry: ImageGeometry) -> PerQuad:
    if geometry.fit == "stretch":
        return np.full(len(sides), float(geometry.width))
    shape = np.minimum(sides[:, 0] / sides[:, 1], _LONGEST)
    return np.asarray(np.maximum(np.rint(shape * geometry.height), 1.0))


def _shrink_factors(slopes: Vectors, scales: Vectors, limits: _Limits) -> Vectors:
    """Return by what powers of two columns and rows of the image shrink before the warp.

    Of a word that lies along an axis, each by its own scale; of others both by the lesser.
    """
    lesser = scales.min(axis=1, keepdims=True).repeat(2, axis=1)
    is_flat, is_steep = slopes[:, 1:] < _ALONG_AXIS, slopes[:, :1] < _ALONG_AXIS
    wanted = np.where(is_flat, scales, np.where(is_steep, scales[:, ::-1], lesser))
    return np.asarray(2 ** np.maximum(np.floor(np.log2(np.minimum(wanted / _PACE, limits))), 0))


def _windows(
    low: Vectors, high: Vectors, factors: Vectors, limits: _Limits
) -> tuple[Vectors, Vectors]:
    """Return where the surroundings of quads begin and end, in whole cells of the shrunk image."""
    last = limits // factors
    starts = np.clip(np.floor(low / factors) - 1, 0, last - 1)
    ends = np.clip(np.ceil(high / factors) + 1, starts + 1, last)
    return starts * factors, ends * factors


def _homographies(
    corners: _Corners, starts: Vectors, factors: Vectors, sampled: Vectors
) -> _Matrices:
    """Map pixel middles of what is sampled to those of the windows, shrunk by their factors."""
    from_unit = _from_unit_square((corners - starts[:, None]) / factors[:, None])
    to_unit = np.zeros_like(from_unit)
    to_unit[:, 0, 0], to_unit[:, 1, 1] = 1 / sampled.T
    to_unit[:, 0, 2], to_unit[:, 1, 2] = 0.5 / sampled.T
    to_unit[:, 2, 2] = 1
    to_middles = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    return np.asarray(to_middles @ from_unit @ to_unit)


def _from_unit_square(corners: _Corners) -> _Matrices:
    first, second, third, fourth = corners.transpose(1, 0, 2)
    a, b = second - third, fourth - third
    rest = first - second + third - fourth
    area = _cross(a, b)
    g, h = (_cross(rest, b) / area)[:, None], (_cross(a, rest) / area)[:, None]
    matrices = np.ones((len(corners), 3, 3))
    matrices[:, :2, 0] = second - first + g * second
    matrices[:, :2, 1] = fourth - first + h * fourth
    matrices[:, :2, 2] = first
    matrices[:, 2:, 0], matrices[:, 2:, 1] = g, h
    return matrices


def _cross(a: Vectors, b: Vectors) -> PerQuad:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
