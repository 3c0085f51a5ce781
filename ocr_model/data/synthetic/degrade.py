"""What cameras, scanners and encoders take away: blur, noise, resolution, JPEG."""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Float32
from pydantic import Field, NonNegativeFloat

from ocr_model.config import Config
from ocr_model.data.draws import Number, between, happens, whole
from ocr_model.image import Pixels

_TILE = (256, 1024)
_WORD_HEIGHT = 32  # of the pictures that blur and resolution were chosen for


class BlurConfig(Config):
    """Gaussian, or along a line as of a moving camera."""

    probability: float = Field(0.5, ge=0, le=1)
    sigma: NonNegativeFloat = 1.0
    """Largest standard deviation, in pixels of a picture 32 high."""
    motion_share: float = Field(0.25, ge=0, le=1)


class NoiseConfig(Config):
    """Gaussian, per channel."""

    probability: float = Field(0.5, ge=0, le=1)
    sigma: NonNegativeFloat = 14.0
    """Largest standard deviation, in grey levels."""


class ResolutionConfig(Config):
    """Scaled down and up again."""

    probability: float = Field(0.3, ge=0, le=1)
    lowest: float = Field(0.35, gt=0, le=1)
    """Smallest share of the height that is left."""


class JpegConfig(Config):
    """Encoded and decoded."""

    probability: float = Field(0.4, ge=0, le=1)
    lowest_quality: int = Field(25, ge=1, le=95)


class DegradeConfig(Config):
    """Each by its own probability; 0 turns one off."""

    blur: BlurConfig = BlurConfig()
    noise: NoiseConfig = NoiseConfig()
    resolution: ResolutionConfig = ResolutionConfig()
    jpeg: JpegConfig = JpegConfig()


def degrade(
    pixels: Pixels,
    config: DegradeConfig,
    rng: np.random.Generator,
    *,
    strength: float = 1.0,
    text_height: Number | None = None,
) -> Pixels:
    """Make a clean picture a real one; the size stays.

    Args:
        pixels: The picture; it is not changed.
        config: What may happen to it, and how much at most.
        rng: Decides everything.
        strength: Share of the largest amounts, 0 to 1.
        text_height: Pixels of a line of text, where the picture has more than one line: blur and
            resolution then leave it as many of them as they leave a word 32 pixels high.
    """
    height, width = pixels.shape[:2]
    scale = (height if text_height is None else text_height) / _WORD_HEIGHT
    lowest = config.resolution.lowest
    if text_height is not None:
        lowest = min(1.0, lowest / scale)
    if happens(rng, config.blur.probability):
        pixels = _blur(pixels, config.blur, strength, scale, rng)
    if happens(rng, config.resolution.probability):
        share = 1 - between(rng, 0, strength) * (1 - lowest)
        small = (max(2, int(width * share)), max(2, int(height * share)))
        pixels = cv2.resize(pixels, small, interpolation=cv2.INTER_AREA)
        way = cv2.INTER_LINEAR if happens(rng, 0.6) else cv2.INTER_CUBIC
        pixels = cv2.resize(pixels, (width, height), interpolation=way)
    if happens(rng, config.noise.probability):
        sigma = between(rng, 0, strength) * config.noise.sigma
        pixels = cv2.add(pixels, _noise(height, width, sigma, rng), dtype=cv2.CV_8U)
    if happens(rng, config.jpeg.probability):
        quality = round(96 - between(rng, 0, strength) * (96 - config.jpeg.lowest_quality))
        _, encoded = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        assert decoded is not None
        return decoded
    return pixels


def _blur(
    pixels: Pixels, config: BlurConfig, strength: float, scale: Number, rng: np.random.Generator
) -> Pixels:
    sigma = max(0.3, between(rng, 0, strength) * config.sigma) * scale
    if not happens(rng, config.motion_share):
        return cv2.GaussianBlur(pixels, (0, 0), sigma)
    return cv2.filter2D(pixels, -1, _motion_kernel(whole(rng, 8), 2 * round(2 * sigma) + 1))


@lru_cache(maxsize=256)
def _motion_kernel(direction: int, size: int) -> Float32[np.ndarray, "size size"]:
    size = max(size, 3)
    kernel = np.zeros((size, size), np.float32)
    angle, middle = direction * np.pi / 8, size // 2
    for step in np.linspace(-middle, middle, 4 * size):
        kernel[round(middle + step * np.sin(angle)), round(middle + step * np.cos(angle))] = 1
    kernel /= kernel.sum()
    return kernel


@lru_cache(maxsize=1)
def _noise_tile() -> Float32[np.ndarray, "rows cols 3"]:
    """Draw the noise that all pictures cut theirs from: drawing it anew costs five times more."""
    return np.random.default_rng(0).standard_normal((*_TILE, 3), np.float32)


def _noise(
    height: int, width: int, sigma: float, rng: np.random.Generator
) -> Float32[np.ndarray, "{height} {width} 3"]:
    tile = _noise_tile()
    if height > tile.shape[0] or width > tile.shape[1]:  # a page
        tile = np.tile(tile, (-(-height // _TILE[0]), -(-width // _TILE[1]), 1))
    top = whole(rng, tile.shape[0] - height + 1)
    left = whole(rng, tile.shape[1] - width + 1)
    noise: np.ndarray = tile[top : top + height, left : left + width] * np.float32(sigma)
    return noise
