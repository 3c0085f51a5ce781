"""A flat page in the making: what is written and drawn where, before any ink flows."""

from dataclasses import dataclass, field
from enum import IntEnum

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from ocr_model.data.draws import Number
from ocr_model.data.synthetic.fonts import Mask
from ocr_model.data.synthetic.typesetting import SetWord, Style


class Ink(IntEnum):
    """What a mark is made with; the colours come later."""

    TINT = 0
    """Shaded areas."""
    PRINT = 1
    PEN = 2
    """What was filled in."""
    BARE = 3
    """Text left out of a tint: the paper's colour on a dark ground."""


@dataclass(frozen=True)
class PlacedWord:
    """A word, its ink, and its place in the reading order."""

    word: SetWord
    ink: Ink
    line: int
    block: int


@dataclass(frozen=True)
class Stroke:
    """A line through points, or dashes of it."""

    points: Float32[np.ndarray, "points 2"]
    thickness: int
    ink: Ink
    dash: Number = 0
    """Pixels of a dash and of the gap behind it, for level strokes of two points; 0: whole."""


@dataclass(frozen=True)
class Area:
    """A box filled with tint."""

    box: tuple[int, int, int, int]
    """Left, top, right, bottom."""
    level: int
    """0 is paper, 255 the full tint."""


@dataclass
class Sheet:
    """Words in reading order, strokes and areas, in pixels of a page that lies flat."""

    width: int
    height: int
    words: list[PlacedWord] = field(default_factory=list)
    strokes: list[Stroke] = field(default_factory=list)
    areas: list[Area] = field(default_factory=list)
    _line: int = 0
    _block: int = 0

    def next_line(self) -> None:
        """Let what is written from here on be a new line."""
        self._line += 1

    def next_block(self) -> None:
        """Let what is written from here on be a new line of a new block."""
        self._line += 1
        self._block += 1

    def write(
        self, text: str, style: Style, x: Number, baseline: Number, *, ink: Ink = Ink.PRINT
    ) -> float:
        """Write words from x on; those that do not fit on the page are left out.

        Returns:
            The column behind the last word.
        """
        return self.write_words(text.split(), style, x, baseline, ink=ink)

    def write_words(
        self,
        words: list[str],
        style: Style,
        x: Number,
        baseline: Number,
        *,
        gap: Number | None = None,
        ink: Ink = Ink.PRINT,
    ) -> float:
        """Write words with a gap between them, by default the style's space."""
        pen, row = float(x), round(baseline)
        for place, text in enumerate(words):
            if place:
                pen += style.space if gap is None else gap
            word = style.set(text, pen, row)
            if self._holds(word.char_boxes):
                self.words.append(PlacedWord(word, ink, self._line, self._block))
            pen = word.end
        return pen

    def write_right(
        self, text: str, style: Style, right: Number, baseline: Number, *, ink: Ink = Ink.PRINT
    ) -> float:
        """Write words that end at a column; return the column where they start."""
        start = right - style.width(text)
        self.write(text, style, start, baseline, ink=ink)
        return start

    def write_centred(
        self, text: str, style: Style, centre: Number, baseline: Number, *, ink: Ink = Ink.PRINT
    ) -> None:
        """Write words around a column."""
        self.write(text, style, centre - style.width(text) / 2, baseline, ink=ink)

    def rule(
        self,
        start: tuple[Number, Number],
        end: tuple[Number, Number],
        *,
        thickness: int = 1,
        dash: Number = 0,
        ink: Ink = Ink.PRINT,
    ) -> None:
        """Draw a straight line."""
        self.strokes.append(Stroke(np.array([start, end], np.float32), thickness, ink, dash))

    def frame(
        self, left: Number, top: Number, right: Number, bottom: Number, *, thickness: int = 1
    ) -> None:
        """Draw a box of four lines."""
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        self.strokes.append(Stroke(np.array(corners, np.float32), thickness, Ink.PRINT))

    def shade(
        self, left: Number, top: Number, right: Number, bottom: Number, *, level: int
    ) -> None:
        """Fill a box with tint."""
        self.areas.append(Area((round(left), round(top), round(right), round(bottom)), level))

    def masks(self, is_kept: Bool[np.ndarray, " words"]) -> dict[Ink, Mask]:
        """Draw all areas and strokes, and the words that are kept."""
        masks: dict[Ink, Mask] = {}
        for area in self.areas:
            left, top, right, bottom = area.box
            self._mask(masks, Ink.TINT)[max(top, 0) : bottom, max(left, 0) : right] = area.level
        for stroke in self.strokes:
            _draw_stroke(self._mask(masks, stroke.ink), stroke)
        for placed, kept in zip(self.words, is_kept, strict=True):
            if kept:
                placed.word.draw(self._mask(masks, placed.ink))
        if Ink.BARE in masks:
            masks[Ink.TINT] = cv2.subtract(self._mask(masks, Ink.TINT), masks.pop(Ink.BARE))
        return masks

    def _mask(self, masks: dict[Ink, Mask], ink: Ink) -> Mask:
        if ink not in masks:
            masks[ink] = np.zeros((self.height, self.width), np.uint8)
        return masks[ink]

    def _holds(self, boxes: Float32[np.ndarray, "chars 4"]) -> bool:
        return (
            float(boxes[:, :2].min()) >= 1
            and float(boxes[:, 2].max()) <= self.width - 2
            and float(boxes[:, 3].max()) <= self.height - 2
        )


def _draw_stroke(mask: Mask, stroke: Stroke) -> None:
    (x0, y0), (x1, _) = stroke.points[0].tolist(), stroke.points[-1].tolist()
    if stroke.dash:
        y = round(y0)
        for x in np.arange(x0, x1, 2 * stroke.dash):
            end = round(min(x + stroke.dash, x1))
            cv2.line(mask, (round(x), y), (end, y), 255, stroke.thickness)
        return
    points = stroke.points.round().astype(np.int32)
    cv2.polylines(mask, [points], False, 255, stroke.thickness, cv2.LINE_AA)
