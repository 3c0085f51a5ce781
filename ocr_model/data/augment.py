"""Training augmentation: one homography, brightness and contrast, blur, noise."""

import cv2
import numpy as np
from pydantic import NonNegativeFloat

from ocr_model.config import Config
from ocr_model.image import ImageGeometry, ModelInput, Pixels, fit_image


class AugmentConfig(Config):
    """Largest amounts; each image draws its own between none and these. 0 turns one off."""

    rotation_degrees: NonNegativeFloat = 4.0
    shear_degrees: NonNegativeFloat = 8.0
    perspective: NonNegativeFloat = 0.06
    """How far a corner moves, as a share of the image's height."""
    contrast: NonNegativeFloat = 0.3
    """Share by which contrast rises or falls."""
    brightness: NonNegativeFloat = 30.0
    """Grey levels by which all pixels rise or fall."""
    blur: NonNegativeFloat = 0.8
    """Standard deviation of the blur, in pixels of the model's input."""
    noise: NonNegativeFloat = 6.0
    """Standard deviation of the noise, in grey levels."""


def augment(
    pixels: Pixels, geometry: ImageGeometry, config: AugmentConfig, rng: np.random.Generator
) -> tuple[ModelInput, int]:
    """Distort a word image and fit it to the geometry; the generator decides everything.

    Returns:
        As `fit_image`: the image, and how many of its columns hold picture.
    """
    fitted, content_width = fit_image(pixels, geometry)
    homography = _homography(content_width, geometry.height, config, rng)
    fitted[:, :content_width] = cv2.warpPerspective(
        fitted[:, :content_width],
        homography,
        (content_width, geometry.height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    sigma = rng.uniform(0, config.blur)
    if sigma > 0.2:
        fitted = cv2.GaussianBlur(fitted, (0, 0), sigma)
    gain = 1 + rng.uniform(-config.contrast, config.contrast)
    offset = rng.uniform(-config.brightness, config.brightness)
    levels = (np.arange(256) - 127.5) * gain + 127.5 + offset
    fitted = cv2.LUT(fitted, np.clip(levels, 0, 255).astype(np.uint8))
    spread = rng.uniform(0, config.noise)
    if spread > 0.5:
        noise = rng.standard_normal(fitted.shape, np.float32) * np.float32(spread)
        fitted = np.clip(fitted + noise, 0, 255).astype(np.uint8)
    return fitted, content_width


def _homography(
    width: int, height: int, config: AugmentConfig, rng: np.random.Generator
) -> np.ndarray:
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    centre = np.array([width / 2, height / 2])
    angle = np.radians(rng.uniform(-config.rotation_degrees, config.rotation_degrees))
    # A long word turned by its full angle would leave the image: limit what its ends rise by.
    angle = np.clip(angle, -0.35 * height / width, 0.35 * height / width)
    slant = np.tan(np.radians(rng.uniform(-config.shear_degrees, config.shear_degrees)))
    cosine, sine = np.cos(angle), np.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.array([[1, slant], [0, 1]])
    moved = (corners - centre) @ linear.T + centre
    moved += rng.uniform(-1, 1, (4, 2)) * config.perspective * height
    return cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32))
