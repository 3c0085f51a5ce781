"""Word images from fonts, stage by stage.

Source: Jaderberg et al. 2014 (arXiv:1406.2227, section 3), whose stages are font, border and
shadow, base colouring, projective distortion, natural data blending and noise. Ours differ in that
letters are set from glyphs drawn once per face, a curved baseline and the projective distortion are
one warp of all layers together, blending takes procedural surfaces where no photographs are given,
and every character's place is known.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from struct import Struct
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32

from ocr_model.data.draws import Number, Random, between, happens, pick, whole
from ocr_model.data.synthetic.colours import (
    Colour,
    Surface,
    contrast_of,
    draw_colours,
    draw_surface,
    fill,
    lay_over,
    load_photos,
    procedural_textures,
)
from ocr_model.data.synthetic.degrade import degrade
from ocr_model.data.synthetic.fonts import FontCatalog, Mask, load_fonts
from ocr_model.data.synthetic.lettering import Lettering, set_text
from ocr_model.data.synthetic.stages import (
    LAYER_MARGIN,
    DistortionConfig,
    RendererConfig,
    draw_layers,
)
from ocr_model.data.synthetic.warp import Homography, Warp, corners_of, rim
from ocr_model.errors import DatasetError
from ocr_model.image import Pixels

Corners = Sequence[tuple[Number, Number]]
"""(x, y), clockwise from the upper left."""

_pack = Struct("9d").pack  # np.array takes twice as long
_LONGEST_ASPECT = 24.0  # width by height; longer pictures are squeezed


@dataclass(frozen=True)
class RenderedWord:
    """A picture and where its characters are."""

    pixels: Pixels
    char_quads: Float32[np.ndarray, "chars 4 2"]
    """Corners (x, y) of each character, clockwise from its upper left, in pixels of the picture;
    they may lie outside of it."""


class WordRenderer:
    """Draws words; the same generator state and fonts give the same picture on any machine."""

    def __init__(self, config: RendererConfig) -> None:
        self.config = config
        self.fonts: FontCatalog = load_fonts(config.fonts)

    @property
    def _surfaces(self) -> list[Surface]:
        photos = self.config.surface.photos
        return procedural_textures() if photos is None else load_photos(photos)

    def render(self, text: str, rng: Random) -> RenderedWord:
        """Draw a text; the generator decides everything but what it says.

        Raises:
            DatasetError: No face has all its characters.
        """
        # Easy and hard words are mixed: evenly hard ones teach a new network nothing for long.
        hardness = self.config.difficulty * rng.random()
        lettering = self._letter(text, rng)
        layers = draw_layers(lettering.mask, self.config.border, self.config.shadow, rng)
        warp = self._draw_warp(lettering, hardness, rng)
        pixels = self._paint(warp.apply(layers), hardness, rng)
        pixels = degrade(pixels, self.config.degrade, rng, strength=hardness)
        corners = corners_of(lettering.char_boxes).reshape(-1, 2)
        return RenderedWord(pixels, warp.forward(corners).reshape(-1, 4, 2))

    def _letter(self, text: str, rng: Random) -> Lettering:
        face = self.fonts.draw_face(text, rng)
        if face is None:
            raise DatasetError(
                f"none of {self.fonts.num_faces} fonts has all characters of {text!r}"
            )
        tracking = self.config.tracking.draw(rng)
        lettering = set_text(face, text, tracking=tracking, margin=LAYER_MARGIN)
        ink = self.config.weight.change(lettering.mask, rng)
        return replace(lettering, mask=self.config.dots.change(ink, rng))

    def _draw_warp(self, lettering: Lettering, hardness: float, rng: Random) -> Warp:
        config = self.config
        box: tuple[Number, Number, Number, Number] = lettering.ink_box
        bend = config.curve.draw(lettering.ink_box, rng, hardness=hardness)
        edge = None
        if bend is not None:
            edge = bend.forward(rim(lettering.ink_box, 9))
            box = (*edge.min(axis=0).tolist(), *edge.max(axis=0).tolist())
        left, top, right, bottom = box
        moved: Corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        if happens(rng, config.distortion.probability):
            moved = _move_corners(right - left, bottom - top, config.distortion, hardness, rng)
        ink_edge: Iterable[Any] = moved
        if edge is not None:
            ink_edge = cv2.perspectiveTransform(edge[None], _homography(box, moved))[0].tolist()
        fitted, width = _fit(moved, ink_edge, config, rng)
        return Warp(_homography(box, fitted), bend, config.height, width)

    def _paint(self, layers: list[Mask], hardness: float, rng: Random) -> Pixels:
        """Fill paper and layers with colours and textures and lay them over each other."""
        config = self.config
        height, width = layers[0].shape
        paper, ink = draw_colours(rng, from_palette=config.palette)
        filling: Colour | Pixels = ink
        if happens(rng, config.surface.probability):
            # A texture stronger than the contrast would bury the word.
            amount = hardness * config.surface.strength * min(1.0, contrast_of(paper, ink) / 64)
            size = (height, width)
            picture = draw_surface(self._surfaces, rng, size, paper, amount)
            if happens(rng, config.surface.ink_share):
                filling = draw_surface(self._surfaces, rng, size, ink, 0.4 * amount)
        else:
            picture = fill(height, width, paper)
        if happens(rng, config.clutter.probability):
            _draw_clutter(picture, ink, rng)
        for layer in layers[:0:-1]:  # shadow, then border
            other, _ = draw_colours(rng, from_palette=config.palette)
            lay_over(picture, layer, other, opacity=between(rng, 0.4, 1.0))
        lay_over(picture, layers[0], filling, opacity=between(rng, 0.75, 1.0))
        return picture


@lru_cache(maxsize=4)
def word_renderer(config: RendererConfig) -> WordRenderer:
    """Return this process's renderer of a configuration, with the glyphs that it has drawn."""
    return WordRenderer(config)


def _move_corners(
    width: Number,
    height: Number,
    config: DistortionConfig,
    hardness: float,
    rng: Random,
) -> Corners:
    """Turn, slant and stretch a box about its middle and move each of its corners."""
    # A long word turned by its full angle would be a thin line in the picture.
    steepest = min(math.radians(config.rotation_degrees), 0.6 * height / width)
    angle = between(rng, -hardness, hardness) * steepest
    slant = math.tan(math.radians(between(rng, -hardness, hardness) * config.shear_degrees))
    stretch = 1 + between(rng, -hardness, hardness) * config.stretch
    cosine, sine = math.cos(angle), math.sin(angle)
    reach = hardness * config.perspective * height
    corners = []
    for side, level in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        x = stretch * side * width / 2 + slant * level * height / 2
        y = level * height / 2
        corners.append(
            (
                cosine * x - sine * y + between(rng, -reach, reach),
                sine * x + cosine * y + between(rng, -reach, reach),
            )
        )
    return corners


def _fit(
    corners: Corners, ink_edge: Iterable[Any], config: RendererConfig, rng: Random
) -> tuple[Corners, int]:
    """Scale and move corners so that the ink and some paper fill the picture; give its width."""
    xs, ys = zip(*ink_edge, strict=True)
    first_x, first_y = min(xs), min(ys)
    crop, ink_height = config.crop, max(ys) - first_y
    left, top, right, bottom = (
        (crop.least + (crop.most - crop.least) * rng.random() ** 2) * ink_height for _ in range(4)
    )
    scale = config.height / (ink_height + top + bottom)
    full_width = (max(xs) - first_x + left + right) * scale
    width = int(min(max(full_width, 8.0), _LONGEST_ASPECT * config.height))
    across = scale * width / full_width
    fitted = [(across * (x - first_x + left), scale * (y - first_y + top)) for x, y in corners]
    return fitted, width


def _homography(box: tuple[Number, Number, Number, Number], targets: Corners) -> Homography:
    """Return what maps the corners of a box to others.

    Source: Heckbert, Fundamentals of Texture Mapping and Image Warping, 1989, section 2.2.3. In
    plain numbers this takes a third of what OpenCV's solver takes with its arrays.
    """
    left, top, right, bottom = box
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = targets
    dx1, dx2, dx3 = x1 - x2, x3 - x2, x0 - x1 + x2 - x3
    dy1, dy2, dy3 = y1 - y2, y3 - y2, y0 - y1 + y2 - y3
    area = dx1 * dy2 - dx2 * dy1
    # Of the unit square; then of the box, by its size and place.
    g, h = (dx3 * dy2 - dx2 * dy3) / area, (dx1 * dy3 - dx3 * dy1) / area
    across, down = 1 / (right - left), 1 / (bottom - top)
    a, b = (x1 - x0 + g * x1) * across, (x3 - x0 + h * x3) * down
    d, e = (y1 - y0 + g * y1) * across, (y3 - y0 + h * y3) * down
    g, h = g * across, h * down
    rows = (a, b, x0 - a * left - b * top, d, e, y0 - d * left - e * top,
            g, h, 1 - g * left - h * top)  # fmt: skip
    return np.ndarray((3, 3), np.float64, _pack(*rows))


def _draw_clutter(picture: Pixels, ink: Colour, rng: Random) -> None:
    height, width = picture.shape[:2]
    tone = ink if happens(rng, 0.6) else draw_colours(rng, from_palette=False)[0]
    for _ in range(1 + whole(rng, 3)):
        thickness = 1 + whole(rng, max(1, height // 10))
        match whole(rng, 3):
            case 0:  # a rule along the upper or lower rim
                at = pick(rng, (0.02, 0.06, 0.94, 0.98)) * height
                ends = (0, int(at + between(rng, -2, 2))), (width, int(at + between(rng, -2, 2)))
                cv2.line(picture, *ends, tone, thickness, cv2.LINE_AA)
            case 1:  # an edge: the paper ends
                x = int(pick(rng, (0.0, 1.0)) * width + between(rng, -0.1, 0.1) * height)
                cv2.line(picture, (x, 0), (x, height), tone, 2 * thickness)
            case _:  # feet or heads of a neighbouring line
                y = int(pick(rng, (0.0, 1.0)) * height)
                for x in range(whole(rng, height), width, max(4, height // 3)):
                    reach = int(between(rng, 0.02, 0.12) * height)
                    cv2.line(picture, (x, y - reach), (x, y + reach), tone, thickness)
