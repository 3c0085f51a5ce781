"""What cameras, scanners and encoders take away: blur, noise, resolution, JPEG."""

import cv2
from pydantic import Field, NonNegativeFloat

from ocr_model.config import Config
from ocr_model.data.draws import Number, Random, between, happens, whole
from ocr_model.data.effects import DIRECTIONS, add_noise, blur, blur_by_motion, encode_again
from ocr_model.image import Pixels

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

    probability: float = Field(0.0, ge=0, le=1)
    """Off: it taught nothing about real words (docs/benchmarks.md), and augmentation adds it."""
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
    rng: Random,
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
        sigma = max(0.3, between(rng, 0, strength) * config.blur.sigma) * scale
        if happens(rng, config.blur.motion_share):
            pixels = blur_by_motion(pixels, max(1.5, 4 * sigma), whole(rng, DIRECTIONS))
        else:
            pixels = blur(pixels, sigma, sigma)
    if happens(rng, config.resolution.probability):
        share = 1 - between(rng, 0, strength) * (1 - lowest)
        small = (max(2, int(width * share)), max(2, int(height * share)))
        # Down to a half, two neighbours are a fair mean, and four times as fast.
        way = cv2.INTER_LINEAR if share > 0.5 else cv2.INTER_AREA
        pixels = cv2.resize(pixels, small, interpolation=way)
        way = cv2.INTER_LINEAR if happens(rng, 0.6) else cv2.INTER_CUBIC
        pixels = cv2.resize(pixels, (width, height), interpolation=way)
    if happens(rng, config.noise.probability):
        deviation = between(rng, 0, strength) * config.noise.sigma
        pixels = add_noise(pixels, deviation, rng.random(), rng.random())
    if happens(rng, config.jpeg.probability):
        quality = round(96 - between(rng, 0, strength) * (96 - config.jpeg.lowest_quality))
        pixels = encode_again(pixels, quality)
    return pixels
