"""Training augmentation: what cameras, scanners and web pages do to words.

Rotation, shear, perspective and the scaling to the model's input are one homography, so pixels are
interpolated once. Brightness, contrast, saturation and hue are one matrix over the channels; a
look-up table bends the tones before it. Whatever is costly to draw or to build, such as noise and
kernels, is made once per process.

Every effect has its own numbers among those that an image draws. So changing one effect, or turning
it off, leaves what all others draw as it was.

Times in comments are of 100x32 pixels for an input of 128x32, on the machine of docs/benchmarks.md.
"""

from functools import cached_property, lru_cache
from math import cos, log2, radians, sin, sqrt
from struct import Struct
from typing import Annotated

import cv2
import numpy as np
from jaxtyping import UInt8
from pydantic import Field, NonNegativeFloat, model_validator

from ocr_model.config import Config
from ocr_model.data.effects import (
    DIRECTIONS,
    LARGEST_BLUR,
    add_noise,
    blur,
    blur_by_motion,
    encode_again,
)
from ocr_model.data.tilting import Movement, warp_word
from ocr_model.image import (
    ImageGeometry,
    ModelInput,
    Pixels,
    content_columns,
    pad_image,
    resize_image,
)

Probability = Annotated[float, Field(ge=0, le=1)]
_Image = UInt8[np.ndarray, "_height _width 3"]


class AugmentConfig(Config):
    """Largest amounts; each image draws its own between none and these. 0 turns one off.

    An effect with a probability is drawn for that share of the images, the others for all.
    """

    strength: NonNegativeFloat = 1.0
    """Factor on all amounts, up to what each can be, but not on probabilities; 0: words are only
    fitted."""
    rotation_degrees: NonNegativeFloat = 4.0
    """Less for long words: their ends rise by at most a sixth of the height. However a word is
    rotated, sheared and tilted, all of it stays in the picture: it shrinks instead."""
    shear_degrees: NonNegativeFloat = 8.0
    perspective: NonNegativeFloat = 0.06
    """How far tilting moves a corner, as a share of the image's height."""
    contrast: NonNegativeFloat = 0.3
    """Share by which contrast rises or falls, about the image's mean."""
    brightness: NonNegativeFloat = 30.0
    """Grey levels by which all pixels rise or fall; less in pictures that are dark or bright."""
    gamma: NonNegativeFloat = 0.25
    """The exponent lies between 1 / (1 + gamma) and 1 + gamma."""
    saturation: NonNegativeFloat = 0.4
    """Share by which colours get stronger or paler."""
    hue_degrees: NonNegativeFloat = 15.0
    """How far colours turn on the colour wheel."""
    inversion_probability: Probability = 0.03
    """Share of the images that become their negative."""
    blur: NonNegativeFloat = 0.8
    """Standard deviation of the blur, in pixels of the model's input."""
    blur_probability: Probability = 0.6
    motion_blur: NonNegativeFloat = 3.0
    """Length of a blur in one direction, any, in pixels of the model's input."""
    motion_blur_probability: Probability = 0.1
    noise: NonNegativeFloat = 8.0
    """Standard deviation of the noise, in grey levels."""
    noise_probability: Probability = 0.5
    resolution_loss: NonNegativeFloat = 0.4
    """Share of its rows and columns that an image loses before it is scaled up again."""
    resolution_loss_probability: Probability = 0.15
    jpeg: NonNegativeFloat = 55.0
    """How far the quality of one more JPEG encoding lies below 95."""
    jpeg_probability: Probability = 0.15
    erasing: NonNegativeFloat = 0.25
    """Sides of the patches that hide parts of an image, as a share of its height; one to three."""
    erasing_probability: Probability = 0.1

    @model_validator(mode="after")
    def _amounts_are_possible(self) -> "AugmentConfig":
        for name, most in _LARGEST.items():
            if getattr(self, name) > most:
                raise ValueError(f"{name} is {getattr(self, name):g}, at most {most:g}")
        return self

    def eased(self, share: float) -> "AugmentConfig":
        """Return these settings at a share of their strength."""
        return self.replace(strength=share * self.strength)

    @cached_property
    def scaled(self) -> "AugmentConfig":
        """These settings with the strength worked into every amount."""
        amounts = {
            name: min(most, getattr(self, name) * self.strength) for name, most in _LARGEST.items()
        }
        if not self.strength:
            amounts["inversion_probability"] = 0.0
        return self.model_copy(update={"strength": 1.0, **amounts})

    @property
    def movement(self) -> Movement:
        """What the one homography does."""
        return Movement(self.rotation_degrees, self.shear_degrees, self.perspective)


_ALIASING = 1.5  # sides longer than the output's by this factor are averaged down first
_LARGEST = {
    "rotation_degrees": 45.0,
    "shear_degrees": 60.0,
    "perspective": 0.2,
    "contrast": 0.95,
    "brightness": 255.0,
    "gamma": 3.0,
    "saturation": 1.0,
    "hue_degrees": 180.0,
    "blur": LARGEST_BLUR / _ALIASING,
    "motion_blur": 15.0,
    "noise": 64.0,
    "resolution_loss": 0.9,
    "jpeg": 90.0,
    "erasing": 1.0,
}

_NUM_DRAWS = 19
_LEAST_BLUR = 0.2  # standard deviation of which not one grey level is seen
_GAMMA_STEPS = 16  # tables per doubling of the exponent
_BEST_QUALITY = 95
_NUM_PATCHES = 3
_SQRT_3 = sqrt(3)
_pack = Struct("12d").pack  # np.array takes twice as long


def augment(
    pixels: Pixels, geometry: ImageGeometry, config: AugmentConfig, rng: np.random.Generator
) -> tuple[ModelInput, int]:
    """Distort a word image and fit it to the geometry; the generator decides everything.

    Returns:
        As `fit_image`: the image, and how many of its columns hold picture.
    """
    scaled, draws = config.scaled, rng.random(_NUM_DRAWS).tolist()
    size = (geometry.height, content_columns(pixels.shape[0], pixels.shape[1], geometry))
    loss = _drawn(draws[0], scaled.resolution_loss, scaled.resolution_loss_probability)
    content = _lower_resolution(pixels, size, loss)
    content = _change_colours(content, scaled, draws[1:7])
    deviation = _drawn(draws[7], scaled.blur, scaled.blur_probability)
    if deviation > _LEAST_BLUR:  # before the warp: most words are smaller there
        across, down = content.shape[1] / size[1], content.shape[0] / size[0]
        content = blur(content, deviation * across, deviation * down)
    if any(scaled.movement):
        content = warp_word(content, size, scaled.movement, draws[8:12])
    else:
        content = resize_image(content, *size)
    length = _drawn(draws[12], scaled.motion_blur, scaled.motion_blur_probability)
    if length > 1:
        content = blur_by_motion(content, length, int(DIRECTIONS * draws[13]))
    side = scaled.erasing * size[0]
    if side and draws[14] < scaled.erasing_probability:
        _erase(content, side, rng)
    deviation = _drawn(draws[15], scaled.noise, scaled.noise_probability)
    if deviation:
        content = add_noise(content, deviation, *draws[16:18])
    loss = _drawn(draws[18], scaled.jpeg, scaled.jpeg_probability)
    if loss:
        content = encode_again(content, round(_BEST_QUALITY - loss))
    return pad_image(content, geometry), size[1]


def _drawn(draw: float, largest: float, probability: float) -> float:
    """Return nothing for most draws, and for those below the probability an even amount."""
    return largest * draw / probability if draw < probability else 0.0


def _lower_resolution(pixels: _Image, size: tuple[int, int], loss: float) -> _Image:
    """Average away what the output cannot show, and a share of what it can.

    The warp scales up again; it reads four neighbours, so it would skip pixels of larger images.
    """
    limit = 1 - loss if loss else _ALIASING
    height, width = pixels.shape[:2]
    if height <= limit * size[0] and width <= limit * size[1]:
        return pixels
    new_height, new_width = round(size[0] * (1 - loss)), round(size[1] * (1 - loss))
    return resize_image(pixels, min(height, max(1, new_height)), min(width, max(1, new_width)))


def _change_colours(pixels: _Image, config: AugmentConfig, draws: list[float]) -> _Image:
    """Bend the tones by a table; then contrast, brightness, saturation and hue by one matrix.

    Contrast is about the mean, and brightness moves the mean at most half the way to black or
    white, so that words in dark and in bright pictures stay readable. Colours are about the grey
    axis. The matrix takes 1.4 µs; a table for each channel would take 7.8, and could not mix
    channels, as saturation and hue do.
    """
    gamma, contrast, brightness, saturation, hue, inversion = draws
    if config.gamma:
        exponent = log2(1 + config.gamma) * (2 * gamma - 1)
        pixels = cv2.LUT(pixels, _tone_tables()[round(exponent * _GAMMA_STEPS)])
    mean = cv2.norm(pixels, cv2.NORM_L1) / pixels.size
    gain = 1 + config.contrast * (2 * contrast - 1)
    shift = config.brightness * (2 * brightness - 1)
    shift = max(shift, -mean / 2) if shift < 0 else min(shift, (255 - mean) / 2)
    offset = mean * (1 - gain) + shift
    if inversion < config.inversion_probability:
        gain, offset = -gain, 255 - offset
    colour = gain * (1 + config.saturation * (2 * saturation - 1))
    angle = radians(config.hue_degrees) * (2 * hue - 1)
    if gain == colour == 1 and not angle and not offset:
        return pixels
    grey, along, across = gain / 3, colour * cos(angle) / 3, colour * sin(angle) / _SQRT_3
    same, left, right = grey + 2 * along, grey - along + across, grey - along - across
    rows = (
        same, right, left, offset,
        left, same, right, offset,
        right, left, same, offset,
    )  # fmt: skip
    return cv2.transform(pixels, np.ndarray((3, 4), np.float64, _pack(*rows)))


def _erase(content: _Image, side: float, rng: np.random.Generator) -> None:
    """Cover one to three spots in place, each by the colour of a pixel elsewhere."""
    height, width = content.shape[:2]
    for _ in range(1 + int(_NUM_PATCHES * rng.random())):
        x, y, across, down, from_x, from_y = rng.random(6).tolist()
        left, top = int(x * width), int(y * height)
        right, bottom = left + 1 + int(across * side), top + 1 + int(down * side)
        content[top:bottom, left:right] = content[int(from_y * height), int(from_x * width)]


@lru_cache(maxsize=1)
def _tone_tables() -> dict[int, UInt8[np.ndarray, "256"]]:
    """Return tables by the logarithm of their exponent; mid-tones move, black and white stay."""
    levels = np.arange(256) / 255
    steps = range(-2 * _GAMMA_STEPS, 2 * _GAMMA_STEPS + 1)
    return {s: np.rint(255 * levels ** (2 ** (s / _GAMMA_STEPS))).astype(np.uint8) for s in steps}
