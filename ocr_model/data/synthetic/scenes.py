"""Scenes: walls, windows and signs with words at angles, in perspective, bent and shadowed."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32
from pydantic import Field, PositiveFloat, PositiveInt

from ocr_model.config import Config
from ocr_model.data.draws import Range, between, happens, pick, whole
from ocr_model.data.synthetic.backdrops import draw_backdrop
from ocr_model.data.synthetic.colours import (
    Colour,
    Surface,
    contrast_of,
    draw_colours,
    draw_surface,
    lay_over,
)
from ocr_model.data.synthetic.fonts import EM_PIXELS, Face, Mask
from ocr_model.data.synthetic.lettering import Lettering, set_text
from ocr_model.data.synthetic.page_faces import PageFaces
from ocr_model.data.synthetic.page_words import PageWord
from ocr_model.data.synthetic.paper import of_pixels
from ocr_model.data.synthetic.placement import (
    GRID,
    SHADOW_REACH,
    Placement,
    PlacementConfig,
    place_panel,
)
from ocr_model.data.synthetic.stages import (
    LAYER_MARGIN,
    LayerConfig,
    TrackingConfig,
    WeightConfig,
    draw_layers,
)
from ocr_model.data.synthetic.typesetting import x_height
from ocr_model.data.synthetic.warp import Warp, corners_of
from ocr_model.data.synthetic.wording import Wording
from ocr_model.image import Pixels

_LEAST_CONTRAST = 40.0  # grey levels between ink and what it lies on
_MOST_SPREAD = 22.0  # standard deviation in grey levels; where a wall has more, text needs a board


class SignHeight(Range):
    """Height of a small x in a scene, in pixels."""

    least: PositiveFloat = 8.0
    most: PositiveFloat = 48.0


class SceneConfig(Config):
    """What is written in a scene, and how."""

    x_height: SignHeight = SignHeight()
    most_texts: PositiveInt = 10
    """Signs and lettered walls."""
    placement: PlacementConfig = PlacementConfig()
    board_share: float = Field(0.6, ge=0, le=1)
    """How often a text stands on a sign of its own."""
    photos: str | None = None
    """A folder of photographs without text, as backgrounds; null: drawn ones."""
    weight: WeightConfig = WeightConfig()
    tracking: TrackingConfig = TrackingConfig()
    border: LayerConfig = LayerConfig()
    shadow: LayerConfig = LayerConfig()


CharBoxes = Float32[np.ndarray, "_chars 4"]


@dataclass(frozen=True)
class _Panel:
    """Lines of one text, set below each other."""

    layers: list[Mask]
    """Ink, and as far as they are there border and shadow."""
    words: list[tuple[str, CharBoxes, int]]
    """Text, boxes of the characters, and the line that they stand in."""
    ink_box: tuple[float, float, float, float]
    x_height: float
    """Of the smallest line, in pixels of the masks."""


def draw_scene(
    size: tuple[int, int],
    surfaces: list[Surface],
    faces: PageFaces,
    wording: Wording,
    config: SceneConfig,
    rng: np.random.Generator,
) -> tuple[Pixels, list[PageWord], float]:
    """Draw a scene of a size (height, width).

    Returns:
        The picture, its words, and the x-height of the smallest text.
    """
    backdrop = draw_backdrop(size, surfaces, rng, is_photo=config.photos is not None)
    picture = cv2.convertScaleAbs(np.maximum(backdrop, 0, out=backdrop))
    is_taken = np.zeros((size[0] // GRID + 1, size[1] // GRID + 1), np.uint8)
    words: list[PageWord] = []
    smallest = config.x_height.most
    for block in range(1 + whole(rng, config.most_texts)):
        height = config.x_height.draw(rng)
        panel = _set_panel(faces.draw_display(rng), wording, config, rng)
        panel = _resized(panel, min(1.0, 1.5 * height / panel.x_height))
        placed = place_panel(
            panel.ink_box,
            height / panel.x_height,
            size,
            config.placement,
            rng,
            is_taken,
            pad=panel.x_height * between(rng, 0.45, 1.2),
            is_one_line=panel.words[-1][2] == 0,
        )
        if placed is None:
            continue
        _paint(picture, panel, placed, surfaces, config, rng)
        words += _words_of(panel, placed, words[-1].line + 1 if words else 0, block)
        smallest = min(smallest, height)
    return picture, words, smallest


def _set_panel(
    face: Face, wording: Wording, config: SceneConfig, rng: np.random.Generator
) -> _Panel:
    """Set one to three lines, and draw what is around their letters."""
    tracking = config.tracking.draw(rng)
    texts = _draw_texts(wording, rng)
    lines = [set_text(face, text, tracking=tracking, margin=LAYER_MARGIN) for text in texts]
    ink, words = _stack(lines, texts, between(rng, 0.15, 0.6), pick(rng, (0.0, 0.5, 0.5, 1.0)))
    layers = draw_layers(config.weight.change(ink, rng), config.border, config.shadow, rng)
    boxes = np.concatenate([boxes for _, boxes, _ in words])
    left, top = boxes[:, :2].min(axis=0).tolist()
    right, bottom = boxes[:, 2:].max(axis=0).tolist()
    return _Panel(layers, words, (left, top, right, bottom), x_height(face) * EM_PIXELS)


def _draw_texts(wording: Wording, rng: np.random.Generator) -> list[str]:
    """Draw one to three lines as signs have them."""
    texts = []
    for _ in range(1 + int(between(rng, 0, 1) ** 2 * 3)):
        match whole(rng, 12):
            case 0:
                texts.append(wording.grammar(pick(rng, ("number", "code", "price"))))
            case 1:
                texts.append(wording.phone())
            case 2:
                texts.append(" ".join(wording.word() for _ in range(1 + whole(rng, 3))))
            case _:
                texts.append(wording.title(1 + whole(rng, 3)))
    if happens(rng, 0.4):
        return [" ".join(text.upper().split()) for text in texts]
    return texts


def _stack(
    lines: list[Lettering], texts: list[str], leading: float, align: float
) -> tuple[Mask, list[tuple[str, CharBoxes, int]]]:
    """Set lines below each other; align 0 is left, 1 right."""
    gap = round(leading * EM_PIXELS) - 2 * LAYER_MARGIN  # margins may lie over each other
    width = max(line.mask.shape[1] for line in lines)
    height = sum(line.mask.shape[0] + gap for line in lines) - gap
    ink = np.zeros((height, width), np.uint8)
    words, top = [], 0
    for number, (line, text) in enumerate(zip(lines, texts, strict=True)):
        left = round((width - line.mask.shape[1]) * align)
        part = ink[top : top + line.mask.shape[0], left : left + line.mask.shape[1]]
        np.maximum(part, line.mask, out=part)
        boxes = line.char_boxes + np.array([left, top, left, top], np.float32)
        start = 0
        for word in text.split(" "):
            words.append((word, boxes[start : start + len(word)], number))
            start += len(word) + 1
        top += line.mask.shape[0] + gap
    return ink, words


def _resized(panel: _Panel, scale: float) -> _Panel:
    """Shrink a panel, so that its warp to small letters skips no pixels."""
    if scale == 1.0:
        return panel
    height, width = panel.layers[0].shape
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    across, down = size[0] / width, size[1] / height
    factors = np.array([across, down, across, down], np.float32)
    left, top, right, bottom = (np.array(panel.ink_box) * factors).tolist()
    return _Panel(
        [cv2.resize(layer, size, interpolation=cv2.INTER_AREA) for layer in panel.layers],
        [(text, boxes * factors, line) for text, boxes, line in panel.words],
        (left, top, right, bottom),
        panel.x_height * down,
    )


def _paint(
    picture: Pixels,
    panel: _Panel,
    placement: Placement,
    surfaces: list[Surface],
    config: SceneConfig,
    rng: np.random.Generator,
) -> None:
    """Lay the panel's board and layers over a part of the picture."""
    left, top, right, bottom = placement.bounds
    part = picture[top:bottom, left:right]
    height, width = part.shape[:2]
    paper = draw_colours(rng, from_palette=happens(rng, 0.8))[0]
    around, spread = (values.ravel() for values in cv2.meanStdDev(part))
    if happens(rng, config.board_share) or float(spread.mean()) > _MOST_SPREAD:
        ink = _contrasting(paper, rng)
        _paint_board(part, placement, paper, ink, surfaces, rng)
    else:
        red, green, blue = around.tolist()
        ink = _contrasting((red, green, blue), rng)
    shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]])
    warp = Warp(of_pixels(shift @ placement.homography), placement.bend, height, width)
    letters, *behind = warp.apply(panel.layers)
    for layer in behind[::-1]:  # shadow, then border
        # A border as dark as the letters would close them.
        lay_over(part, layer, _contrasting(ink, rng), between(rng, 0.4, 1.0))
    lay_over(part, letters, ink, between(rng, 0.85, 1.0))


def _paint_board(
    part: Pixels,
    placement: Placement,
    paper: Colour,
    ink: Colour,
    surfaces: list[Surface],
    rng: np.random.Generator,
) -> None:
    height, width = part.shape[:2]
    corners = (placement.board - np.array(placement.bounds[:2])) * 16  # in sixteenths of a pixel
    board = np.zeros((height, width), np.uint8)
    if happens(rng, 0.5):
        reach = SHADOW_REACH * height
        fallen = (corners + between(rng, 0.1, 0.6) * 16 * reach).astype(np.int32)
        cv2.fillConvexPoly(board, fallen, 255, cv2.LINE_AA, 4)
        shadow = cv2.GaussianBlur(board, (0, 0), 0.5 + reach / 5)
        lay_over(part, shadow, (0, 0, 0), between(rng, 0.3, 0.8))
        board[:] = 0
    cv2.fillConvexPoly(board, corners.astype(np.int32), 255, cv2.LINE_AA, 4)
    amount = between(rng, 0, 0.4) * min(1.0, contrast_of(paper, ink) / 64)
    filling = draw_surface(surfaces, rng, (height, width), paper, amount)
    lay_over(part, board, filling, opacity=1.0)
    if happens(rng, 0.4):
        edge = np.zeros_like(board)
        thickness = 1 + whole(rng, max(1, height // 20))
        cv2.polylines(edge, [corners.astype(np.int32)], True, 255, thickness, cv2.LINE_AA, 4)
        lay_over(part, edge, ink if happens(rng, 0.5) else _contrasting(paper, rng), 1.0)


def _contrasting(ground: Colour, rng: np.random.Generator) -> Colour:
    """Draw a colour that can be read on another."""
    for _ in range(6):
        for colour in draw_colours(rng, from_palette=True):
            if contrast_of(colour, ground) >= _LEAST_CONTRAST:
                return colour
    return (0, 0, 0) if sum(ground) > 3 * 127 else (255, 255, 255)


def _words_of(panel: _Panel, placement: Placement, line: int, block: int) -> list[PageWord]:
    return [
        PageWord(
            text,
            placement.word_quad(boxes),
            placement.forward(corners_of(boxes)),
            line + row,
            block,
        )
        for text, boxes, row in panel.words
    ]
