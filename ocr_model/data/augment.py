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
from math import cos, log2, pi, radians, sin, sqrt, tan
from struct import Struct
from typing import Annotated

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from pydantic import Field, NonNegativeFloat, model_validator

from ocr_model.config import Config
from ocr_model.image import (
    ImageGeometry,
    ModelInput,
    Pixels,
    content_columns,
    pad_image,
    resize_image,
)

Probability = Annotated[float, Field(ge=0, le=1)]
Matrix = Float[np.ndarray, "_rows _columns"]
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
    def moves_pixels(self) -> bool:
        """Whether there is more geometry than scaling."""
        return bool(self.rotation_degrees or self.shear_degrees or self.perspective)


_LARGEST = {
    "rotation_degrees": 45.0,
    "shear_degrees": 60.0,
    "perspective": 0.2,
    "contrast": 0.95,
    "brightness": 255.0,
    "gamma": 3.0,
    "saturation": 1.0,
    "hue_degrees": 180.0,
    "blur": 4.0,
    "motion_blur": 15.0,
    "noise": 64.0,
    "resolution_loss": 0.9,
    "jpeg": 90.0,
    "erasing": 1.0,
}

_NUM_DRAWS = 19
_LONGEST_RISE = 0.35  # of the height, from one end of a word to the other
_ALIASING = 1.5  # sides longer than the output's by this factor are averaged down first
_BLUR_STEPS = 20  # kernels per pixel of standard deviation
_LEAST_BLUR = 0.2  # standard deviation of which not one grey level is seen
_GAMMA_STEPS = 16  # tables per doubling of the exponent
_DIRECTIONS = 16  # of motion blur, over half a turn
_NOISE_SPREAD = 32  # standard deviation of the tile, in grey levels
_NOISE_MARGIN = 64  # by how much the tile is larger than an image
_BEST_QUALITY = 95
_NUM_PATCHES = 3
_SQRT_3 = sqrt(3)
_pack_9, _pack_12 = Struct("9d").pack, Struct("12d").pack  # np.array takes twice as long


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
    if deviation > _LEAST_BLUR:
        content = _blur(content, size, deviation)
    if scaled.moves_pixels:
        content = _warp(content, size, scaled, draws[8:12])
    else:
        content = resize_image(content, *size)
    length = _drawn(draws[12], scaled.motion_blur, scaled.motion_blur_probability)
    if length > 1:
        content = _blur_by_motion(content, length, draws[13])
    side = scaled.erasing * size[0]
    if side and draws[14] < scaled.erasing_probability:
        _erase(content, side, rng)
    deviation = _drawn(draws[15], scaled.noise, scaled.noise_probability)
    if deviation:
        tile = _noise_tile(geometry.height, geometry.width)
        content = _add_noise(content, tile, deviation, draws[16:18])
    loss = _drawn(draws[18], scaled.jpeg, scaled.jpeg_probability)
    if loss:
        content = _encode_again(content, loss)
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
    return cv2.transform(pixels, np.ndarray((3, 4), np.float64, _pack_12(*rows)))


def _blur(pixels: _Image, size: tuple[int, int], deviation: float) -> _Image:
    """Blur by so many pixels of the output, before the warp: most words are smaller there."""
    steps, kernels = deviation * _BLUR_STEPS, _blur_kernels()
    across = kernels[round(steps * pixels.shape[1] / size[1])]
    down = kernels[round(steps * pixels.shape[0] / size[0])]
    return cv2.sepFilter2D(pixels, -1, across, down, None, (-1, -1), 0, cv2.BORDER_REPLICATE)


def _warp(
    pixels: _Image, size: tuple[int, int], config: AugmentConfig, draws: list[float]
) -> _Image:
    """Rotate, shear, tilt and scale by one interpolation; the border goes on outside the image.

    OpenCV is slow outside an image, and slower on three channels than on four. With a margin and a
    fourth channel this takes 12 µs, without 19.
    """
    source_size = (pixels.shape[0], pixels.shape[1])
    margin = 1 + source_size[0] // 4
    homography = _homography(source_size, margin, size, config, draws)
    pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    pixels = cv2.copyMakeBorder(pixels, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    pixels = cv2.warpPerspective(
        pixels, homography, (size[1], size[0]), None, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    )
    return cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)


def _homography(
    source_size: tuple[int, int],
    margin: int,
    size: tuple[int, int],
    config: AugmentConfig,
    draws: list[float],
) -> Matrix:
    """Return what maps pixels of the source, which has a margin, to pixels of the output.

    1. Scale the source to the output's size, with (0, 0) in the middle.
    2. Map (x, y) to (a x + b y, c x + d y) / (1 + p x + q y).
    3. Shrink and shift until no corner of the source is outside.

    In plain numbers this takes 3 µs; by numpy's matrices it took 16, more than the warp.
    """
    height, width = size
    half_height, half_width = height / 2, width / 2
    turn, slant, tilt_across, tilt_down = draws
    steepest = min(radians(config.rotation_degrees), _LONGEST_RISE * height / width)
    angle = steepest * (2 * turn - 1)
    slope = tan(radians(config.shear_degrees) * (2 * slant - 1))
    a, c = cos(angle), sin(angle)
    b, d = a * slope - c, c * slope + a
    # What the denominator gains up to the right end, and down to the bottom.
    right = 2 * config.perspective * (2 * tilt_across - 1)
    bottom = 2 * config.perspective * (2 * tilt_down - 1) * min(1, height / width)
    p, q = right / half_width, bottom / half_height
    corners = (1 + right + bottom, 1 + right - bottom, right - bottom - 1, right + bottom - 1)
    scale_x, shift_x = _keep_inside(a * half_width, b * half_height, corners, half_width)
    scale_y, shift_y = _keep_inside(c * half_width, d * half_height, corners, half_height)
    # The middle of pixel (0, 0) is half a pixel from the corner, in the source and in the output.
    zoom_x, zoom_y = width / source_size[1], height / source_size[0]
    x0, y0 = (0.5 - margin) * zoom_x - half_width, (0.5 - margin) * zoom_y - half_height
    shift_x, shift_y = shift_x + half_width - 0.5, shift_y + half_height - 0.5
    g, h, i = p * zoom_x, q * zoom_y, 1 + p * x0 + q * y0
    rows = (
        scale_x * a * zoom_x + shift_x * g,
        scale_x * b * zoom_y + shift_x * h,
        scale_x * (a * x0 + b * y0) + shift_x * i,
        scale_y * c * zoom_x + shift_y * g,
        scale_y * d * zoom_y + shift_y * h,
        scale_y * (c * x0 + d * y0) + shift_y * i,
        g, h, i,
    )  # fmt: skip
    return np.ndarray((3, 3), np.float64, _pack_9(*rows))


def _keep_inside(
    by_x: float, by_y: float, corners: tuple[float, float, float, float], half: float
) -> tuple[float, float]:
    """Return the factor and the shift that bring all corners within `half` of the middle.

    Corners are given by their denominators, those on the left negated for their negative x.
    """
    both, differ = by_x + by_y, by_x - by_y
    first, second, third, fourth = corners
    places = (both / first, differ / second, differ / third, both / fourth)
    low, high = min(places), max(places)
    scale = 2 * half / (high - low) if high - low > 2 * half else 1.0
    return scale, -scale * (low + high) / 2


def _blur_by_motion(content: _Image, length: float, direction: float) -> _Image:
    kernel = _motion_kernel(round(2 * length), int(_DIRECTIONS * direction))
    return cv2.filter2D(content, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def _erase(content: _Image, side: float, rng: np.random.Generator) -> None:
    """Cover one to three spots in place, each by the colour of a pixel elsewhere."""
    height, width = content.shape[:2]
    for _ in range(1 + int(_NUM_PATCHES * rng.random())):
        x, y, across, down, from_x, from_y = rng.random(6).tolist()
        left, top = int(x * width), int(y * height)
        right, bottom = left + 1 + int(across * side), top + 1 + int(down * side)
        content[top:bottom, left:right] = content[int(from_y * height), int(from_x * width)]


def _add_noise(content: _Image, tile: _Image, deviation: float, draws: list[float]) -> _Image:
    """Add a piece of the tile: drawing normal numbers for an image takes 70 times as long."""
    height, width = content.shape[:2]
    top, left = (int(_NOISE_MARGIN * draw) for draw in draws)
    piece = tile[top : top + height, left : left + width]
    scale = deviation / _NOISE_SPREAD
    return cv2.addWeighted(content, 1, piece, scale, -128 * scale)


def _encode_again(content: _Image, loss: float) -> _Image:
    """Encode as JPEG and decode; red and blue change places for OpenCV, and change back."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, round(_BEST_QUALITY - loss)]
    _, encoded = cv2.imencode(".jpg", content, quality)
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    assert decoded is not None
    return decoded


@lru_cache(maxsize=1)
def _tone_tables() -> dict[int, UInt8[np.ndarray, "256"]]:
    """Return tables by the logarithm of their exponent; mid-tones move, black and white stay."""
    levels = np.arange(256) / 255
    steps = range(-2 * _GAMMA_STEPS, 2 * _GAMMA_STEPS + 1)
    return {s: np.rint(255 * levels ** (2 ** (s / _GAMMA_STEPS))).astype(np.uint8) for s in steps}


@lru_cache(maxsize=1)
def _blur_kernels() -> list[Float[np.ndarray, "_taps 1"]]:
    """Return Gaussian kernels by standard deviation."""
    largest = _LARGEST["blur"] * _ALIASING
    deviations = [step / _BLUR_STEPS for step in range(round(largest * _BLUR_STEPS) + 1)]
    return [
        cv2.getGaussianKernel(max(3, 2 * round(1.5 * s) + 1), max(s, 0.01), cv2.CV_32F)
        for s in deviations
    ]


@lru_cache(maxsize=512)
def _motion_kernel(half_pixels: int, direction: int) -> Matrix:
    """Return a line of a length, in a direction."""
    reach = -(-half_pixels // 4)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for place in np.linspace(-half_pixels / 4, half_pixels / 4, 16 * reach + 1):
        angle = pi * direction / _DIRECTIONS
        kernel[round(reach + place * sin(angle)), round(reach + place * cos(angle))] += 1
    normalised: np.ndarray = kernel / kernel.sum()
    return normalised


@lru_cache(maxsize=4)
def _noise_tile(height: int, width: int) -> UInt8[np.ndarray, "tile_height tile_width 3"]:
    """Return normal noise about 128, larger than the model's input on both sides."""
    shape = (height + _NOISE_MARGIN, width + _NOISE_MARGIN, 3)
    noise = np.random.default_rng(0).standard_normal(shape, np.float32)
    return np.clip(np.rint(128 + _NOISE_SPREAD * noise), 0, 255).astype(np.uint8)
