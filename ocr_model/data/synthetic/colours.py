"""Colours and surfaces of rendered words."""

import json
from bisect import bisect_right
from functools import lru_cache
from importlib.resources import files
from itertools import accumulate
from pathlib import Path
from struct import Struct

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from ocr_model.data.draws import Number, Random, between, happens, whole
from ocr_model.data.synthetic.fonts import Mask
from ocr_model.errors import ConfigError, ImageError
from ocr_model.image import Pixels, decode_image

Colour = tuple[Number, Number, Number]
"""RGB, 0 to 255."""
Surface = UInt8[np.ndarray, "_rows _columns 3"]

_pack = Struct("12d").pack  # np.array takes twice as long
_NUM_TEXTURES = 48
_TEXTURE_SIZE = (160, 480)  # height, width
_MAX_PHOTOS = 256
_PHOTO_SIDE = 640
_JITTER = 18.0
_LEAST_CONTRAST = 25.0  # grey levels; the 5th percentile of the real words behind the palette


@lru_cache(maxsize=1)
def _palette() -> tuple[list[float], list[tuple[Number, ...]]]:
    """Load the cumulative share and the six channels of each pair of paper and ink.

    They are the centres of 64 clusters (k-means) of such pairs, which were themselves found by
    k-means with k=2 in each of the 6,725 training words of IIIT5K, ICDAR 2015 and SVT; the colour
    that has most of the rim is paper.
    """
    entries = json.loads(files(__package__).joinpath("palette.json").read_text())
    ends = list(accumulate(count for count, _, _ in entries))
    return [end / ends[-1] for end in ends], [(*paper, *ink) for _, paper, ink in entries]


def draw_colours(rng: Random, *, from_palette: bool) -> tuple[Colour, Colour]:
    """Draw paper and ink: as on real signs and pages, or any two colours.

    Their channels differ by at least 25 grey levels, on the average.
    """
    random = rng.random
    while True:
        if from_palette:
            ends, pairs = _palette()
            pair = pairs[bisect_right(ends, random())]
            r, g, b, *ink = [channel + 2 * _JITTER * (random() - 0.5) for channel in pair]
        else:
            r, g, b, *ink = [255 * random() for _ in range(6)]
        red, green, blue = ink
        if contrast_of((r, g, b), (red, green, blue)) >= _LEAST_CONTRAST:
            return (r, g, b), (red, green, blue)


def contrast_of(first: Colour, second: Colour) -> Number:
    """Return by how much the channels of two colours differ, on the average."""
    (r, g, b), (red, green, blue) = first, second
    return (abs(r - red) + abs(g - green) + abs(b - blue)) / 3


def fill(height: int, width: int, colour: Colour) -> Pixels:
    """Return a picture of one colour."""
    picture: np.ndarray = np.empty((height, width, 3), np.uint8)
    cv2.rectangle(picture, (0, 0), (width, height), colour, -1)
    return picture


def draw_surface(
    surfaces: list[Surface],
    rng: Random,
    size: tuple[int, int],
    colour: Colour,
    amount: Number,
) -> Pixels:
    """Cut a piece out of a random surface, scale it to a size (height, width) and tint it.

    Args:
        surfaces: What it is cut from.
        rng: Decides which and where.
        size: Of the result: height, width.
        colour: Its mean.
        amount: Share of the surface's contrast that is left.
    """
    piece = _cut(surfaces, rng, *size)
    (red, green, blue), mean = colour, cv2.mean(piece)
    offsets = (red - amount * mean[0], green - amount * mean[1], blue - amount * mean[2])
    return cv2.transform(piece, _by_channel((amount, amount, amount), offsets))


def lay_over(picture: Pixels, layer: Mask, filling: Colour | Pixels, opacity: Number) -> None:
    """Blend a colour, or another picture, into a picture where a layer is, in place."""
    # What the layer leaves of the picture: all is 255.
    left = cv2.cvtColor(cv2.convertScaleAbs(layer, alpha=-opacity, beta=255), cv2.COLOR_GRAY2RGB)
    if isinstance(filling, tuple):
        red, green, blue = filling
        factors = (red / -255, green / -255, blue / -255)
        covering = cv2.transform(left, _by_channel(factors, filling))
    else:
        covering = cv2.multiply(filling, cv2.bitwise_not(left), scale=1 / 255)
    cv2.add(cv2.multiply(picture, left, scale=1 / 255), covering, dst=picture)


def _by_channel(factors: Colour, offsets: Colour) -> Float64[np.ndarray, "3 4"]:
    """Return what scales and shifts each channel."""
    (red, green, blue), (more_red, more_green, more_blue) = factors, offsets
    rows = (red, 0, 0, more_red, 0, green, 0, more_green, 0, 0, blue, more_blue)
    return np.ndarray((3, 4), np.float64, _pack(*rows))


def cut_surface(
    surfaces: list[Surface], rng: Random, height: int, width: int
) -> Float32[np.ndarray, "{height} {width} 3"]:
    """Cut a piece out of a random surface and scale it to a size; its mean is 0."""
    piece = _cut(surfaces, rng, height, width)
    cut = piece.astype(np.float32)
    cut -= np.array(cv2.mean(piece)[:3], np.float32)
    return cut


def _cut(
    surfaces: list[Surface], rng: Random, height: int, width: int
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    surface = surfaces[whole(rng, len(surfaces))]
    zoom = between(rng, 0.4, 1.5)
    cut_height = min(max(4, int(height * zoom)), surface.shape[0])
    cut_width = min(max(4, int(width * zoom)), surface.shape[1])
    top = whole(rng, surface.shape[0] - cut_height + 1)
    left = whole(rng, surface.shape[1] - cut_width + 1)
    return cv2.resize(surface[top : top + cut_height, left : left + cut_width], (width, height))


@lru_cache(maxsize=1)
def procedural_textures() -> list[Surface]:
    """Make smooth, grainy, striped, tiled and blotched surfaces; always the same ones."""
    makers = (_cloud, _grain, _stripes, _tiles, _blotches, _gradient)
    return [
        makers[number % len(makers)](np.random.default_rng(number))
        for number in range(_NUM_TEXTURES)
    ]


@lru_cache(maxsize=4)
def load_photos(folder: str) -> list[Surface]:
    """Load the first 256 photographs of a folder, by name, at most 640 pixels on a side.

    Raises:
        ConfigError: There is no folder, or no picture in it that can be read.
    """
    top = Path(folder).expanduser()
    if not top.is_dir():
        raise ConfigError(f"data.renderer.surface.photos: {folder} is not a folder")
    photos: list[Surface] = []
    for path in sorted(path for path in top.rglob("*") if path.is_file()):
        try:
            pixels = decode_image(path.read_bytes())
        except ImageError:
            continue  # other files may lie beside the photographs
        scale = min(1.0, _PHOTO_SIDE / max(pixels.shape[:2]))
        size = tuple(max(16, round(side * scale)) for side in pixels.shape[1::-1])
        photos.append(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
        if len(photos) == _MAX_PHOTOS:
            break
    if not photos:
        raise ConfigError(f"data.renderer.surface.photos: no picture could be read in {folder}")
    return photos


def _cloud(rng: np.random.Generator) -> Surface:
    """Sum noise of several scales."""
    height, width = _TEXTURE_SIZE
    total: np.ndarray = np.zeros((height, width, 3), np.float32)
    for octave in range(2, 7):
        coarse = rng.standard_normal((2**octave, 3 * 2**octave, 3)).astype(np.float32)
        fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        total = cv2.addWeighted(total, 1.0, fine, 1.6**-octave, 0.0)
    return _to_surface(total, rng)


def _grain(rng: np.random.Generator) -> Surface:
    """Stretch noise along one axis, as in wood, brushed metal and cloth."""
    height, width = _TEXTURE_SIZE
    noise = rng.standard_normal((height, width)).astype(np.float32)
    along = int(between(rng, 3, 60))
    across = 1 + whole(rng, 3)
    kernel = (along, across) if happens(rng, 0.5) else (across, along)
    return _to_surface(cv2.blur(noise, kernel), rng)


def _stripes(rng: np.random.Generator) -> Surface:
    height, width = _TEXTURE_SIZE
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, period = between(rng, 0, np.pi), between(rng, 6, 50)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / period))
    sharpness = between(rng, 1, 8)
    return _to_surface(np.tanh(sharpness * wave), rng)


def _tiles(rng: np.random.Generator) -> Surface:
    """Lay bricks of slightly different tones, with joints."""
    height, width = _TEXTURE_SIZE
    brick_height, brick_width = int(between(rng, 12, 50)), int(between(rng, 24, 120))
    y, x = np.mgrid[:height, :width]
    row = y // brick_height
    shifted = x + (row % 2) * (brick_width // 2)
    tones = rng.standard_normal((height // brick_height + 1, 2 * width // brick_width + 2))
    tiles = tones[row, shifted // brick_width].astype(np.float32)
    tiles[(y % brick_height < 2) | (shifted % brick_width < 2)] = between(rng, -3, 3)
    return _to_surface(tiles + rng.standard_normal((height, width)).astype(np.float32) * 0.2, rng)


def _blotches(rng: np.random.Generator) -> Surface:
    height, width = _TEXTURE_SIZE
    coarse = rng.standard_normal((20, 60)).astype(np.float32)
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return _to_surface(np.tanh((field - between(rng, -1, 1)) * between(rng, 2, 20)), rng)


def _gradient(rng: np.random.Generator) -> Surface:
    height, width = _TEXTURE_SIZE
    y, x = np.mgrid[:height, :width].astype(np.float32) / height
    angle = between(rng, 0, 2 * np.pi)
    ramp = x * np.cos(angle) / 3 + y * np.sin(angle)
    if happens(rng, 0.5):  # a lamp
        ramp = -np.hypot(x - between(rng, 0, 3), y - between(rng, 0, 1))
    return _to_surface(ramp + rng.standard_normal((height, width)).astype(np.float32) * 0.02, rng)


def _to_surface(field: np.ndarray, rng: np.random.Generator) -> Surface:
    """Tint a field and bring it to mid grey with a standard deviation of 40."""
    if field.ndim == 2:
        tint = 1 + (rng.random(3) - 0.5) * 0.6
        field = field[..., None] * tint
    field = (field - field.mean()) / (field.std() + 1e-6)
    clipped: Surface = np.clip(128 + 40 * field, 0, 255).astype(np.uint8)
    return clipped
