"""From a flat sheet to its picture: ink on paper, seen as a file, by a scanner or by a camera."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from pydantic import Field, NonNegativeFloat, model_validator

from ocr_model.config import Config
from ocr_model.data.draws import Number, between, happens, pick, whole
from ocr_model.data.synthetic.colours import Surface, cut_surface
from ocr_model.data.synthetic.fonts import Mask
from ocr_model.data.synthetic.sheets import Ink
from ocr_model.data.synthetic.warp import Homography, Points
from ocr_model.image import Pixels

_HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
_LEAST_INK = 0.55  # share of the ink that is left where a page is worn most

SheetPixels = UInt8[np.ndarray, "_rows _columns 3"]
"""Of another size than the picture."""
ViewKind = Literal["flat", "scan", "photo"]


class PaperConfig(Config):
    """How pages are seen; the shares are relative to each other."""

    flat: NonNegativeFloat = 0.25
    """As a computer prints into a file."""
    scan: NonNegativeFloat = 0.4
    """Slightly turned; grey, or nearly black and white, with specks."""
    photo: NonNegativeFloat = 0.35
    """On a table, from an angle, under uneven light."""
    skew_degrees: NonNegativeFloat = Field(2.0, le=15)
    """Largest angle of a scan; of a photograph three times as much."""
    perspective: NonNegativeFloat = Field(0.06, lt=0.25)
    """How far a corner of a photographed page moves, as a share of its width."""

    @model_validator(mode="after")
    def _is_seen(self) -> "PaperConfig":
        if not self.flat + self.scan + self.photo:
            raise ValueError("flat, scan and photo are all 0, so no page can be seen")
        return self


@dataclass(frozen=True)
class View:
    """Where the points of a sheet come to lie in a picture."""

    kind: ViewKind
    homography: Homography | None
    """From edges to edges: 0 is the outer edge of the first pixel; None: nothing moves."""
    sheet_width: int
    sheet_height: int
    width: int
    height: int
    """Of the picture, in pixels."""

    def forward(self, points: Points) -> Points:
        """Map points of the sheet to the picture."""
        if self.homography is None:
            return points
        moved: Points = cv2.perspectiveTransform(points[None], self.homography)[0]
        return moved


def draw_view(
    width: int, height: int, config: PaperConfig, rng: np.random.Generator, *, inset: Number = 0
) -> View:
    """Draw how a page is seen; its text keeps its size, or grows.

    Args:
        width: Of the picture, in pixels.
        height: The same.
        config: Which views there are.
        rng: Decides everything.
        inset: Share of the width that is beside the page, on either side.
    """
    shares = np.array([config.flat, config.scan, config.photo])
    place = int(np.searchsorted(np.cumsum(shares / shares.sum()) - 1e-12, rng.random(), "right"))
    kind: ViewKind = ("flat", "scan", "photo")[place]
    if kind == "flat":
        return View("flat", None, width, height, width, height)
    if kind == "photo":
        inset += between(rng, -0.03, 0.08)
    beside, above = inset * width, min(inset, between(rng, -0.02, 0.06)) * height
    if kind == "scan":
        above = 0.0
    right, bottom = width - beside, height - above
    corners = np.array([[beside, above], [right, above], [right, bottom], [beside, bottom]])
    degrees = config.skew_degrees * (1 if kind == "scan" else 3)
    angle = np.radians(between(rng, -1, 1) ** 3 * degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = corners.mean(axis=0)
    corners = (corners - centre) @ turn + centre
    if kind == "photo":
        corners += (rng.random((4, 2)) - 0.5) * (2 * config.perspective * (right - beside))
    sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    sheet_width, sheet_height = round(min(sides[0], sides[2])), round(min(sides[1], sides[3]))
    flat = np.array([[0, 0], [sheet_width, 0], [sheet_width, sheet_height], [0, sheet_height]])
    homography = cv2.getPerspectiveTransform(flat.astype(np.float32), corners.astype(np.float32))
    return View(kind, homography, sheet_width, sheet_height, width, height)


def of_pixels(homography: Homography) -> Homography:
    """Turn a map from edges to edges into one from centres to centres, as OpenCV counts."""
    moved: Homography = np.linalg.inv(_HALF) @ homography @ _HALF
    return moved


def print_sheet(
    masks: dict[Ink, Mask], size: tuple[int, int], rng: np.random.Generator
) -> SheetPixels:
    """Lay inks on paper of a size (height, width); where two meet, both are seen."""
    paper = _draw_paper(rng)
    inks = _draw_inks(rng)
    sheet: np.ndarray = np.empty((*size, 3), np.uint8)
    sheet[:] = paper
    wear = _field(rng, size, between(rng, _LEAST_INK, 0.9), 1.0) if happens(rng, 0.35) else None
    for ink, mask in sorted(masks.items()):
        worn = mask if wear is None else cv2.multiply(mask, wear, scale=1 / 255)
        # What a coverage leaves of each colour of the paper.
        levels = 255 - np.arange(256)[:, None] / 255 * (255 - inks[ink])
        left = cv2.LUT(cv2.cvtColor(worn, cv2.COLOR_GRAY2RGB), levels.astype(np.uint8)[None])
        sheet = cv2.multiply(sheet, left, scale=1 / 255)
    return sheet


def look_at(
    sheet: SheetPixels, view: View, surfaces: list[Surface], rng: np.random.Generator
) -> UInt8[np.ndarray, "{view.height} {view.width} 3"]:
    """Make the picture that a file, a scanner or a camera gives of a sheet."""
    match view.kind:
        case "flat":
            return sheet
        case "scan":
            return _scan(sheet, view, rng)
        case "photo":
            return _photograph(sheet, view, surfaces, rng)


def _scan(sheet: SheetPixels, view: View, rng: np.random.Generator) -> Pixels:
    beyond = pick(rng, ((255.0,) * 3, (255.0,) * 3, (20.0,) * 3, tuple(map(float, sheet[0, 0]))))
    assert view.homography is not None
    pixels = cv2.warpPerspective(
        sheet, of_pixels(view.homography), (view.width, view.height), borderValue=beyond
    )
    if happens(rng, 0.6):  # grey
        pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if happens(rng, 0.5):  # a copier, nearly black and white
        middle, slope = between(rng, 110, 170), between(rng, 1.5, 5)
        curve = np.clip((np.arange(256) - middle) * slope + 128, 0, 255).astype(np.uint8)
        pixels = cv2.LUT(pixels, curve)
    if happens(rng, 0.4):
        _draw_specks(pixels, rng)
    return pixels


def _draw_specks(pixels: Pixels, rng: np.random.Generator) -> None:
    height, width = pixels.shape[:2]
    tone = between(rng, 0, 90)
    for _ in range(5 + whole(rng, 60)):
        at = (whole(rng, width), whole(rng, height))
        cv2.circle(pixels, at, whole(rng, 2), (tone, tone, tone), -1)
    if happens(rng, 0.3):  # the edge of the glass
        x = int(pick(rng, (0, 1)) * width + between(rng, -0.01, 0.01) * width)
        cv2.line(pixels, (x, 0), (x + whole(rng, 9) - 4, height), (tone,) * 3, 1 + whole(rng, 6))


def _photograph(
    sheet: SheetPixels, view: View, surfaces: list[Surface], rng: np.random.Generator
) -> Pixels:
    size = (view.height, view.width)
    table = cut_surface(surfaces, rng, *size) * np.float32(between(rng, 0.1, 0.7))
    table += (rng.random(3) * between(rng, 40, 230)).astype(np.float32)
    pixels = cv2.convertScaleAbs(np.maximum(table, 0, out=table))
    assert view.homography is not None
    flat = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (view.sheet_width, view.sheet_height)
    corners = view.forward(flat.astype(np.float32))
    _cast_paper_shadow(pixels, corners, rng)
    pixels = cv2.warpPerspective(
        sheet, of_pixels(view.homography), (view.width, view.height),
        dst=pixels, borderMode=cv2.BORDER_TRANSPARENT,
    )  # fmt: skip
    light = _field(rng, size, between(rng, 0.5, 0.95), 1.0)
    return cv2.multiply(pixels, cv2.cvtColor(light, cv2.COLOR_GRAY2RGB), scale=1 / 255)


def _cast_paper_shadow(
    pixels: Pixels, corners: Float32[np.ndarray, "4 2"], rng: np.random.Generator
) -> None:
    """Darken the table beside the page, in place; at a quarter of the size, as shadows are soft."""
    height, width = pixels.shape[:2]
    small: np.ndarray = np.full((height // 4 + 1, width // 4 + 1), 255, np.uint8)
    moved = corners + (rng.random(2) - 0.5) * 0.03 * width
    cv2.fillConvexPoly(small, (moved / 4).astype(np.int32), round(between(rng, 90, 220)))
    small = cv2.GaussianBlur(small, (0, 0), between(rng, 1, 6))
    shade = cv2.cvtColor(cv2.resize(small, (width, height)), cv2.COLOR_GRAY2RGB)
    cv2.multiply(pixels, shade, dst=pixels, scale=1 / 255)


def _draw_paper(rng: np.random.Generator) -> Float32[np.ndarray, "3"]:
    if happens(rng, 0.35):
        return np.full(3, 255, np.float32)
    tint = rng.random(3).astype(np.float32) * np.float32(between(rng, 0, 30))
    return np.float32(between(rng, 215, 255)) - tint


def _draw_inks(rng: np.random.Generator) -> dict[Ink, Float32[np.ndarray, "3"]]:
    """Draw the colours of tint, print and pen."""
    print_ = np.full(3, between(rng, 0, 70), np.float32)
    if happens(rng, 0.15):  # violet and blue tills
        print_ += np.array([20, 10, 90], np.float32)
    pen = print_
    if happens(rng, 0.5):
        pen = np.array(pick(rng, ((20, 30, 140), (15, 15, 20), (60, 60, 65), (120, 20, 30))))
    tint = rng.random(3) * 110 if happens(rng, 0.4) else np.full(3, between(rng, 0, 90))
    return {Ink.TINT: tint.astype(np.float32), Ink.PRINT: print_, Ink.PEN: pen.astype(np.float32)}


def _field(
    rng: np.random.Generator, size: tuple[int, int], low: Number, high: Number
) -> UInt8[np.ndarray, "_rows _columns"]:
    """Draw a smooth field between two shares of 255."""
    coarse = rng.random((2 + whole(rng, 4), 2 + whole(rng, 4)), np.float32)
    coarse = (low + (high - low) * coarse) * np.float32(255)
    # At an eighth of the size first: the field is smooth, and cubic weights are dear.
    small = cv2.resize(coarse, (size[1] // 8 + 1, size[0] // 8 + 1), interpolation=cv2.INTER_CUBIC)
    bounded = np.clip(small, low * 255, high * 255).astype(np.uint8)
    return cv2.resize(bounded, size[::-1], interpolation=cv2.INTER_LINEAR)
