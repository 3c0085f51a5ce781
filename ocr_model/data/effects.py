"""What blurs, grains and encodes pictures, with everything that is costly to build made once.

Augmentation and the renderer share it: words of any size, and pages.
"""

from functools import lru_cache
from math import cos, pi, sin

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from ocr_model.data.draws import Number
from ocr_model.image import Pixels

DIRECTIONS = 16
"""Of motion blur, over half a turn."""

LARGEST_BLUR = 6.0
"""Standard deviation of which there are kernels at hand, in pixels."""

_Image = UInt8[np.ndarray, "_height _width 3"] | UInt8[np.ndarray, "_height _width"]
_BLUR_STEPS = 20  # kernels per pixel of standard deviation
_NOISE_SPREAD = 32  # standard deviation of the tile, in grey levels
_NOISE_MARGIN = 64  # by how much the tile is larger than an image


def blur(pixels: _Image, across: Number, down: Number) -> _Image:
    """Blur by standard deviations, in pixels; kernels end at some 1.5 of them.

    `cv2.GaussianBlur` takes twice as long for a word: it builds its kernels on every call.
    """
    if max(across, down) > LARGEST_BLUR:
        return cv2.GaussianBlur(pixels, (0, 0), across, sigmaY=down)
    kernels = _blur_kernels()
    first, second = kernels[round(_BLUR_STEPS * across)], kernels[round(_BLUR_STEPS * down)]
    return cv2.sepFilter2D(pixels, -1, first, second, None, (-1, -1), 0, cv2.BORDER_REPLICATE)


def blur_by_motion(pixels: _Image, length: float, direction: int) -> _Image:
    """Blur along a line, as a camera that moves: so many pixels, in one of `DIRECTIONS`."""
    kernel = _motion_kernel(round(2 * length), direction)
    return cv2.filter2D(pixels, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def add_noise(pixels: Pixels, deviation: float, down: float, across: float) -> Pixels:
    """Add a piece of a tile of normal noise: drawing the numbers takes 70 times as long.

    Args:
        pixels: The picture; it is not changed.
        deviation: In grey levels.
        down: Where the piece is cut, 0 to 1.
        across: Likewise.
    """
    height, width = pixels.shape[:2]
    tile = _noise_tile(power_of_two(height), power_of_two(width))
    top, left = int(_NOISE_MARGIN * down), int(_NOISE_MARGIN * across)
    piece = tile[top : top + height, left : left + width]
    scale = deviation / _NOISE_SPREAD
    return cv2.addWeighted(pixels, 1, piece, scale, -128 * scale)


def encode_again(pixels: Pixels, quality: int) -> Pixels:
    """Encode as JPEG and decode; red and blue change places for OpenCV, and change back."""
    _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded


@lru_cache(maxsize=1)
def _blur_kernels() -> list[Float[np.ndarray, "_taps 1"]]:
    """Return Gaussian kernels by standard deviation."""
    deviations = [step / _BLUR_STEPS for step in range(round(LARGEST_BLUR * _BLUR_STEPS) + 1)]
    return [
        cv2.getGaussianKernel(max(3, 2 * round(1.5 * s) + 1), max(s, 0.01), cv2.CV_32F)
        for s in deviations
    ]


@lru_cache(maxsize=512)
def _motion_kernel(half_pixels: int, direction: int) -> Float[np.ndarray, "_side _side"]:
    """Return a line of a length, in a direction."""
    reach = -(-half_pixels // 4)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for place in np.linspace(-half_pixels / 4, half_pixels / 4, 16 * reach + 1):
        angle = pi * direction / DIRECTIONS
        kernel[round(reach + place * sin(angle)), round(reach + place * cos(angle))] += 1
    normalised: np.ndarray = kernel / kernel.sum()
    return normalised


@lru_cache(maxsize=16)
def _noise_tile(height: int, width: int) -> UInt8[np.ndarray, "tile_height tile_width 3"]:
    """Return normal noise about 128, larger than an image on both sides."""
    shape = (height + _NOISE_MARGIN, width + _NOISE_MARGIN, 3)
    noise = np.random.default_rng(0).standard_normal(shape, np.float32)
    return np.clip(np.rint(128 + _NOISE_SPREAD * noise), 0, 255).astype(np.uint8)


def power_of_two(side: int) -> int:
    """Return the first that is not below a side: what is kept by size is kept for few sizes."""
    return 1 << (side - 1).bit_length()
