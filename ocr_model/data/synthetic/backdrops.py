"""What scenes are drawn on: walls with windows, doors, awnings and sky, or a photograph."""

import cv2
import numpy as np
from jaxtyping import Float32

from ocr_model.data.draws import Number, between, happens, pick, whole
from ocr_model.data.synthetic.colours import Colour, Surface, cut_surface, draw_colours

Picture = Float32[np.ndarray, "height width 3"]


def draw_backdrop(
    size: tuple[int, int], surfaces: list[Surface], rng: np.random.Generator, *, is_photo: bool
) -> Float32[np.ndarray, "{size[0]} {size[1]} 3"]:
    """Draw a house front seen from somewhere, or cut a piece of a photograph.

    It is drawn at half of the size: what lies behind signs is not sharp in most photographs.
    """
    height, width = size
    if is_photo:
        return _cut_photo(surfaces, size, rng)
    small = (height // 2, width // 2)
    picture = _wall(small, surfaces, rng)
    match whole(rng, 5):
        case 0:
            pass  # a bare wall
        case 1:
            _draw_shapes(picture, surfaces, rng)
        case _:
            _draw_front(picture, surfaces, rng)
    picture = _seen_from_aside(picture, rng)
    if happens(rng, 0.5):
        _draw_clutter(picture, rng)
    picture *= _light(small, rng)
    if happens(rng, 0.5):
        picture = cv2.GaussianBlur(picture, (0, 0), between(rng, 0.4, 1.5))
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)


def _cut_photo(
    photos: list[Surface], size: tuple[int, int], rng: np.random.Generator
) -> Float32[np.ndarray, "{size[0]} {size[1]} 3"]:
    photo = pick(rng, photos)
    scale = min(photo.shape[0] / size[0], photo.shape[1] / size[1]) * between(rng, 0.6, 1.0)
    height, width = max(2, int(size[0] * scale)), max(2, int(size[1] * scale))
    top = whole(rng, photo.shape[0] - height + 1)
    left = whole(rng, photo.shape[1] - width + 1)
    piece = photo[top : top + height, left : left + width]
    return cv2.resize(piece, size[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)


def _wall(size: tuple[int, int], surfaces: list[Surface], rng: np.random.Generator) -> Picture:
    amount = np.float32(between(rng, 0.05, 0.6))
    wall: np.ndarray = cut_surface(surfaces, rng, *size) * amount
    wall += draw_colours(rng, from_palette=True)[0]
    return wall


def _draw_front(picture: Picture, surfaces: list[Surface], rng: np.random.Generator) -> None:
    """Draw storeys with windows, a ground floor with a door, a pavement, and perhaps sky."""
    height, width = picture.shape[:2]
    top = 0
    if happens(rng, 0.5):
        top = int(between(rng, 0.05, 0.35) * height)
        _draw_sky(picture[:top], surfaces, rng)
    ground = int(between(rng, 0.75, 1.0) * height)
    if ground < height - 4:
        grey = np.float32(between(rng, 60, 190))
        picture[ground:] = grey + 0.2 * cut_surface(surfaces, rng, height - ground, width)
    storeys = 1 + whole(rng, 3)
    pitch = (ground - top) / storeys
    glass, frame = _glass(rng), draw_colours(rng, from_palette=True)[0]
    bays = 1 + whole(rng, 5)
    window_width = int(width / bays * between(rng, 0.35, 0.75))
    for storey in range(storeys):
        upper = int(top + pitch * (storey + between(rng, 0.15, 0.35)))
        window_height = int(pitch * between(rng, 0.35, 0.6))
        is_ground = storey == storeys - 1
        if happens(rng, 0.5) and not is_ground:
            _draw_ledge(picture, int(top + pitch * (storey + 1)), rng)
        for bay in range(bays):
            if happens(rng, 0.2):
                continue
            left = int(width * (bay + 0.5) / bays) - window_width // 2
            reach = ground - upper if is_ground and happens(rng, 0.3) else window_height
            _draw_window(picture, (left, upper, window_width, reach), glass, frame, rng)
    if happens(rng, 0.3):
        _draw_awning(picture, int(ground - pitch * between(rng, 0.7, 1.0)), int(pitch * 0.25), rng)


def _draw_sky(sky: Picture, surfaces: list[Surface], rng: np.random.Generator) -> None:
    height, width = sky.shape[:2]
    if height < 2:
        return
    zenith = np.array(pick(rng, ((90, 140, 210), (170, 195, 225), (225, 228, 232))), np.float32)
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    sky[:] = zenith * (1 - ramp) + np.float32(235) * ramp
    sky += cut_surface(surfaces[::6], rng, height, width) * np.float32(between(rng, 0, 0.3))


def _draw_window(
    picture: Picture,
    box: tuple[int, int, int, int],
    glass: Colour,
    frame: Colour,
    rng: np.random.Generator,
) -> None:
    left, top, width, height = box
    thickness = 1 + whole(rng, 3)
    cv2.rectangle(picture, (left, top, width, height), frame, 2 * thickness)
    cv2.rectangle(picture, (left, top, width, height), _lit(glass, between(rng, 0.6, 1.3)), -1)
    if happens(rng, 0.5):  # what the panes mirror
        shine = np.array(
            [[left, top], [left + width // 2, top], [left, top + height // 2]], np.int32
        )
        cv2.fillConvexPoly(picture, shine, _lit(glass, 1.5))
    for bar in range(1, 1 + whole(rng, 3)):
        x = left + width * bar // 3
        cv2.line(picture, (x, top), (x, top + height), frame, thickness)
    if happens(rng, 0.4):
        y = top + height // 2
        cv2.line(picture, (left, y), (left + width, y), frame, thickness)


def _draw_ledge(picture: Picture, y: int, rng: np.random.Generator) -> None:
    depth, width = 2 + whole(rng, 8), picture.shape[1]
    picture[y : y + depth] *= np.float32(between(rng, 0.6, 1.25))
    cv2.line(picture, (0, y + depth), (width, y + depth), (40.0, 40.0, 40.0), 1)


def _draw_awning(picture: Picture, y: int, depth: int, rng: np.random.Generator) -> None:
    first, second = draw_colours(rng, from_palette=False)
    width = picture.shape[1]
    stripe = 4 + whole(rng, 24) if happens(rng, 0.4) else width
    for number, x in enumerate(range(0, width, stripe)):
        tone = second if number % 2 else first
        cv2.rectangle(picture, (x, y, stripe, depth), tone, -1)
    picture[y + depth : y + depth + depth // 2] *= np.float32(0.6)


def _draw_shapes(picture: Picture, surfaces: list[Surface], rng: np.random.Generator) -> None:
    """Lay boxes of other surfaces over the wall."""
    height, width = picture.shape[:2]
    for _ in range(2 + whole(rng, 8)):
        side = (4 + whole(rng, height // 2), 4 + whole(rng, width // 2))
        top, left = whole(rng, height - side[0]), whole(rng, width - side[1])
        picture[top : top + side[0], left : left + side[1]] = _wall(side, surfaces, rng)


def _draw_clutter(picture: Picture, rng: np.random.Generator) -> None:
    """Draw poles, wires and bushes before the wall."""
    height, width = picture.shape[:2]
    for _ in range(whole(rng, 4)):
        tone = (between(rng, 0, 120), between(rng, 0, 120), between(rng, 0, 120))
        if happens(rng, 0.5):
            x = whole(rng, width)
            ends = (x, 0), (x + whole(rng, 9) - 4, height)
        else:
            ends = (0, whole(rng, height)), (width, whole(rng, height))
        cv2.line(picture, *ends, tone, 1 + whole(rng, 4), cv2.LINE_AA)
    if happens(rng, 0.3):
        green = _lit((40, 75, 30), between(rng, 0.5, 1.6))
        x, y = whole(rng, width), pick(rng, (0, height))
        for _ in range(60):
            at = (x + round(rng.normal() * width / 8), y + round(rng.normal() * height / 8))
            shade = _lit(green, between(rng, 0.6, 1.5))
            cv2.circle(picture, at, 2 + whole(rng, 8), shade, -1, cv2.LINE_AA)


def _seen_from_aside(picture: Picture, rng: np.random.Generator) -> Picture:
    height, width = picture.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moves = (rng.random((4, 2), np.float32) - 0.5) * np.array([0.1 * width, 0.3 * height])
    inner = (corners + moves).astype(np.float32)
    homography = cv2.getPerspectiveTransform(inner, corners)
    return cv2.warpPerspective(
        picture, homography, (width, height), borderMode=cv2.BORDER_REFLECT_101
    )


def _light(size: tuple[int, int], rng: np.random.Generator) -> Float32[np.ndarray, "rows cols 1"]:
    coarse = 1 + (rng.random((3, 4), np.float32) - 0.5) * np.float32(between(rng, 0, 0.8))
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)[..., None]


def _glass(rng: np.random.Generator) -> Colour:
    light = between(rng, 10, 70)
    return (30 + light * rng.random(), 36 + light * rng.random(), 44 + light * rng.random())


def _lit(colour: Colour, light: Number) -> Colour:
    red, green, blue = colour
    return (light * red, light * green, light * blue)
