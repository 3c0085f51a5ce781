"""Pieces of pages for training a detector: cut, scaled, turned, and seen in other light."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8
from pydantic import Field, NonNegativeFloat, PositiveFloat

from ocr_model.config import Config
from ocr_model.data.draws import Draws, Random, Range, between, happens, pick
from ocr_model.data.effects import add_noise, blur, encode_again
from ocr_model.data.heatmaps import Heat, Quad, SpacedWord, draw_heat
from ocr_model.image import Pixels, resize_image

CELL = 2
"""Pixels of a crop, along each side, that one cell of its maps covers."""
SIDE_STEP = 32
"""Sides of crops are multiples of it: the coarsest features of the network."""

_QUARTER_TURNS = (cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)
_NEAR_TEXT = 0.9
"""Share of crops that are cut around a word; the others are cut anywhere."""


class CropScale(Range):
    """Factor on a page's size."""

    least: PositiveFloat = 0.6
    most: PositiveFloat = 1.6


class LightConfig(Config):
    """Each by its own probability; all amounts are the largest."""

    inverted: float = Field(0.07, ge=0, le=1)
    """Share of crops in negative."""
    grey: float = Field(0.25, ge=0, le=1)
    """Share without colour."""
    contrast: float = Field(0.4, ge=0, lt=1)
    """Share by which it changes, per channel in part."""
    brightness: NonNegativeFloat = 40.0
    """Grey levels."""
    blur: NonNegativeFloat = 1.2
    """Standard deviation, in pixels; half of the crops have none."""
    noise: NonNegativeFloat = 10.0
    """Standard deviation, in grey levels; half of the crops have none."""
    jpeg: float = Field(0.3, ge=0, le=1)
    """Share that is encoded once more."""


class CropConfig(Config):
    """How a crop is taken from a page."""

    side: int = Field(384, ge=64, multiple_of=SIDE_STEP)
    """Pixels."""
    scale: CropScale = CropScale()
    turn: float = Field(6.0, ge=0, le=45)
    """Largest angle, in degrees; half of the crops are not turned."""
    quarter_turns: float = Field(0.1, ge=0, le=1)
    """Share that is also turned by 90, 180 or 270 degrees: text that runs up, down, or back."""
    smallest_text: NonNegativeFloat = 6.0
    """Height of a word, in pixels of the crop, below which nothing is learnt from it."""
    light: LightConfig = LightConfig()


@dataclass(frozen=True)
class LabelledPage:
    """A picture and the words in it."""

    pixels: Pixels
    words: tuple[SpacedWord, ...]
    """In pixels."""
    unknown: tuple[Quad, ...] = ()
    """Where there may be text that nobody wrote down."""


@dataclass(frozen=True)
class Crop:
    """A piece of a page and what a detector should say of it."""

    pixels: UInt8[np.ndarray, "side side 3"]
    heat: Heat
    """In cells of `CELL` pixels."""


def cut_crop(page: LabelledPage, config: CropConfig, rng: np.random.Generator) -> Crop:
    """Cut one piece; the generator's state is all that decides."""
    draws = Draws(rng)
    scale = config.scale.draw(draws)
    height, width = (max(1, round(side * scale)) for side in page.pixels.shape[:2])
    pixels = resize_image(page.pixels, height, width)
    to_crop = _placement(page, scale, config, draws)
    side = config.side
    pixels = cv2.warpAffine(pixels, to_crop, (side, side), borderMode=cv2.BORDER_REPLICATE)
    from_page = to_crop @ np.diag([width / page.pixels.shape[1], height / page.pixels.shape[0], 1])
    quads = np.array([w.quad for w in page.words] + list(page.unknown), np.float32)
    quads = _moved(quads.reshape(-1, 2), from_page).reshape(-1, 4, 2)
    if happens(draws, config.quarter_turns):
        turn: Literal[0, 1, 2] = pick(draws, (0, 1, 2))
        pixels = cv2.rotate(pixels, _QUARTER_TURNS[turn])
        quads = _quarter_turned(quads, turn + 1, side)
    pixels = _relight(pixels, config.light, draws)
    return Crop(pixels, _heat(page, quads, config))


def _placement(page: LabelledPage, scale: float, config: CropConfig, rng: Random) -> np.ndarray:
    """Return the matrix from the scaled page to the crop."""
    height, width = (side * scale for side in page.pixels.shape[:2])
    half = config.side / 2
    if page.words and happens(rng, _NEAR_TEXT):
        x, y = pick(rng, page.words).quad.mean(axis=0) * scale
        x, y = x + between(rng, -half, half), y + between(rng, -half, half)
    else:
        x, y = between(rng, 0, width), between(rng, 0, height)
    # Nothing beyond the page is shown where the page is large enough.
    x = min(max(x, half), width - half) if width > config.side else width / 2
    y = min(max(y, half), height - half) if height > config.side else height / 2
    angle = between(rng, -config.turn, config.turn) if happens(rng, 0.5) else 0.0
    matrix = cv2.getRotationMatrix2D((x, y), angle, 1)
    to_middle = np.array([[1, 0, half - x], [0, 1, half - y]])
    placed: np.ndarray = to_middle @ np.vstack([matrix, [0, 0, 1]])
    return placed


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    moved: np.ndarray = points @ matrix[:, :2].T + matrix[:, 2]
    return moved.astype(np.float32)


def _quarter_turned(quads: np.ndarray, num_turns: int, side: int) -> np.ndarray:
    """Turn points clockwise within a square."""
    for _ in range(num_turns):
        quads = np.stack([side - quads[..., 1], quads[..., 0]], axis=-1)
    return quads


def _heat(page: LabelledPage, quads: np.ndarray, config: CropConfig) -> Heat:
    num_words, num_cells = len(page.words), config.side // CELL
    heights = np.linalg.norm(quads - np.roll(quads, 1, axis=1), axis=2)[:, ::2].mean(axis=1)
    is_legible = heights >= config.smallest_text
    cells = quads / CELL
    words = [
        SpacedWord(quad, word.edges)
        for quad, word, legible in zip(cells, page.words, is_legible, strict=False)
        if legible
    ]
    unknown = [*cells[:num_words][~is_legible[:num_words]], *cells[num_words:]]
    return draw_heat(words, unknown, num_cells, num_cells)


def _relight(pixels: Pixels, config: LightConfig, rng: Random) -> Pixels:
    if happens(rng, config.inverted):
        pixels = 255 - pixels
    contrast, shift = 1 + between(rng, -1, 1) * config.contrast, between(rng, -1, 1)
    tints = [1 + 0.3 * config.contrast * between(rng, -1, 1) for _ in range(3)]
    levels = np.arange(256)[:, None]
    curve = (levels - 128) * contrast * np.array(tints) + 128 + shift * config.brightness
    pixels = cv2.LUT(pixels, curve.clip(0, 255).astype(np.uint8)[None])
    if happens(rng, config.grey):
        pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if happens(rng, 0.5):
        deviation = config.blur * rng.random()
        pixels = blur(pixels, deviation, deviation)
    if happens(rng, 0.5):
        pixels = add_noise(pixels, config.noise * rng.random(), rng.random(), rng.random())
    if happens(rng, config.jpeg):
        pixels = encode_again(pixels, round(between(rng, 30, 90)))
    return pixels
