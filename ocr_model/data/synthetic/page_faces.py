"""The faces of pages, by what they are good for: running text, typewriters and tills, headings."""

from collections.abc import Callable
from functools import cached_property, lru_cache

import numpy as np

from ocr_model.data.draws import Number, happens, pick
from ocr_model.data.synthetic.fonts import Face, FontCatalog
from ocr_model.data.synthetic.typesetting import Style, x_height
from ocr_model.errors import ConfigError

# Ink as a share of the x-height box. Measured: Light 0.24 to 0.29, Regular 0.31 to 0.44, Semibold
# 0.46 to 0.52, Bold 0.47 to 0.64, Thin and ExtraLight 0.15 to 0.19.
_LIGHTEST, _HEAVIEST = 0.27, 0.46
_HEAVIER = 1.25  # a bold face has so many times the ink of its family's regular one
_SAMPLE = "nolaeisthr"


class PageFaces:
    """The faces of a catalogue that can draw all of an alphabet."""

    def __init__(self, fonts: FontCatalog, alphabet: str) -> None:
        """Choose the faces.

        Raises:
            ConfigError: None has all characters of the alphabet.
        """
        faces = [face for face in fonts.faces if face.can_draw(alphabet)]
        families: dict[str, list[Face]] = {}
        for face in faces:
            families.setdefault(_family(face), []).append(face)
        self._families = families
        if not self._text:
            raise ConfigError(
                f"none of {fonts.num_faces} fonts has all {len(alphabet)} characters that pages "
                "need: choose other fonts or another lexicon"
            )

    def draw(self, rng: np.random.Generator) -> Face:
        """Draw a face for running text; one in six has letters of one width."""
        groups = self._mono if self._mono and happens(rng, 1 / 6) else self._text
        return _pick_mostly_upright(rng, pick(rng, groups))

    def draw_till(self, rng: np.random.Generator) -> Face:
        """Draw a face as tills and typewriters have: mostly with letters of one width."""
        groups = self._mono if self._mono and happens(rng, 0.65) else self._text
        return _pick_mostly_upright(rng, pick(rng, groups))

    def draw_display(self, rng: np.random.Generator) -> Face:
        """Draw any face that is not too thin for a sign."""
        return pick(rng, pick(rng, self._display))

    def bold(self, style: Style) -> Style:
        """Return a style in a heavier face of the family, or else with thicker strokes."""
        ours = density(style.face)
        heavier = [
            face
            for face in self._families[_family(style.face)]
            if _HEAVIER * ours <= density(face) <= 2 * ours
        ]
        if not heavier:
            return Style(style.face, style.size, style.stretch, min(1.0, style.weight + 0.7))
        # Among them the nearest relative: Condensed stays Condensed, Italic stays Italic.
        face = min(heavier, key=lambda face: (_strangeness(style.face, face), face.path.stem))
        return Style(face, style.size, style.stretch, style.weight)

    @cached_property
    def _text(self) -> list[list[Face]]:
        return self._groups(lambda face: _LIGHTEST <= density(face) <= _HEAVIEST)

    @cached_property
    def _mono(self) -> list[list[Face]]:
        return [group for group in self._text if _is_mono(group[0])]

    @cached_property
    def _display(self) -> list[list[Face]]:
        return self._groups(lambda face: density(face) >= _LIGHTEST)

    def _groups(self, is_wanted: Callable[[Face], bool]) -> list[list[Face]]:
        groups = [
            [face for face in family if is_wanted(face)] for family in self._families.values()
        ]
        return [group for group in groups if group]


def style_of(face: Face, height: Number, *, stretch: Number = 1.0) -> Style:
    """Return a style whose small letters are so many pixels high."""
    return Style(face, round(2 * height / x_height(face)) / 2, stretch)


@lru_cache(maxsize=1024)
def density(face: Face) -> float:
    """Return how much of the x-height box is ink, over common letters."""
    glyphs = [face.glyph(char) for char in _SAMPLE]
    ink = sum(int(glyph.mask.sum()) for glyph in glyphs) / 255
    return float(ink / (sum(glyph.advance for glyph in glyphs) * face.glyph("x").mask.shape[0]))


def _family(face: Face) -> str:
    return face.path.stem.partition("-")[0]


def _pick_mostly_upright(rng: np.random.Generator, faces: list[Face]) -> Face:
    upright = [face for face in faces if not _is_slanted(face)]
    return pick(rng, upright if upright and happens(rng, 0.85) else faces)


def _is_slanted(face: Face) -> bool:
    """Find faces whose I leans to the right."""
    halves = np.array_split(face.glyph("I").mask.astype(np.float64), 2)
    upper, lower = (half.sum(axis=0) @ np.arange(half.shape[1]) / half.sum() for half in halves)
    return bool(upper - lower > 0.06 * len(halves[0]) * 2)


def _is_mono(face: Face) -> bool:
    return face.glyph("i").advance == face.glyph("W").advance


def _strangeness(first: Face, second: Face) -> int:
    """Count letters of the two names that are in one only."""
    ours, theirs = first.path.stem.partition("-")[2], second.path.stem.partition("-")[2]
    return len(set(ours) ^ set(theirs))
