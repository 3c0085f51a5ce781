"""The faces that words are drawn in: where they are found, and what each can draw.

Faces come from packages of the environment (matplotlib's own and those that register the entry
points `fonts_ttf` or `fonts_otf`), from the system, and from folders. A face is chosen by family
first, so that one with twelve weights counts no more than one with a single face.
"""

import importlib.util
import logging
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TypeVar
from zlib import crc32

import cv2
import matplotlib as mpl
import numpy as np
from fontTools.ttLib import TTFont, TTLibError
from jaxtyping import UInt8
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from ocr_model.config import Config
from ocr_model.data.draws import Random, whole
from ocr_model.errors import ConfigError

T = TypeVar("T")

logger = logging.getLogger(__name__)

EM_PIXELS = 48
"""Size that glyphs are drawn at; words are scaled from it. Capitals are some 34 pixels high."""

Mask = UInt8[np.ndarray, "_rows _columns"]
"""Coverage: 0 is paper, 255 ink."""

# Faces of symbols, and those in TeX's old order, which have other marks at < > { } | and _.
_UNFIT = ("cmb10", "cmex10", "cmmi10", "cmr10", "cmss10", "cmsy10", "cmtt10", "STIXNonUni",
          "STIXSiz", "DejaVuMath", "DejaVuSansDisplay", "DejaVuSerifDisplay")  # fmt: skip
_FAINTEST = 32  # coverage that counts as ink
_ENDINGS = {".ttf", ".otf"}
_UNICASE_SIMILARITY = 0.73  # median over letters: AmaticSC has 0.81 and 0.85, others at most 0.57


class FontsConfig(Config):
    """Which faces there are to choose from."""

    packages: bool = True
    """Those that come with installed packages: the same on every machine of one lock file."""
    system: bool = True
    """Those installed on the machine. All nodes of a run must have the same ones."""
    folders: tuple[str, ...] = ()
    """Folders of .ttf and .otf files, searched with all below them."""


@dataclass(frozen=True)
class Glyph:
    """One character at `EM_PIXELS`."""

    mask: Mask
    left: int
    """From the pen to the mask's left edge, in pixels."""
    top: int
    """From the baseline to the mask's upper edge; negative is above."""
    advance: float
    """From this pen position to the next."""
    ink: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Left, top, right, bottom of the ink in the mask, which begins where the pen stands."""
    height: int = 0
    width: int = 0
    """Of the mask; 0 of a space."""


class Face:
    """One font file. Glyphs are drawn at first use and kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._glyphs: dict[str, Glyph] = {}
        self._kerning: dict[str, float] = {}

    def can_draw(self, text: str) -> bool:
        """Say whether every character has a glyph of its own; spaces need none."""
        return self._drawable.issuperset(text)

    def glyph(self, char: str) -> Glyph:
        """Return a character that `can_draw` is true of."""
        found = self._glyphs.get(char)
        if found is None:
            found = self._glyphs[char] = self._draw(char)
        return found

    def kerning(self, left: str, right: str) -> float:
        """Return by how many pixels the face moves `right` towards `left` (negative) or away."""
        pair = left + right
        if pair not in self._kerning:
            advances = self.glyph(left).advance + self.glyph(right).advance
            self._kerning[pair] = self._font.getlength(pair) - advances
        return self._kerning[pair]

    @cached_property
    def _font(self) -> ImageFont.FreeTypeFont:
        # Pillow's other layout engine is not in all of its builds, and places glyphs otherwise.
        return ImageFont.truetype(self.path, EM_PIXELS, layout_engine=ImageFont.Layout.BASIC)

    @cached_property
    def _drawable(self) -> frozenset[str]:
        try:
            with TTFont(self.path, lazy=True, fontNumber=0) as file:
                codes = file.getBestCmap() or {}  # symbol fonts have none for Unicode
            self._font.getlength("a")
        except (TTLibError, OSError, KeyError, AssertionError) as error:
            logger.warning("font %s is left out: %s", self.path, error)
            return frozenset()
        chars = {chr(code) for code in codes if chr(code).isprintable()}
        if {"A", "B"} <= chars and np.array_equal(self._draw("A").mask, self._draw("B").mask):
            return frozenset()  # a face of placeholders
        if self._is_unicase(chars):
            chars = {char for char in chars if char == char.upper()}
        return frozenset(chars | {" "})

    def _is_unicase(self, chars: set[str]) -> bool:
        """Find faces that draw small letters as capitals: their case cannot be read back."""
        similarities = [
            _similarity(self._draw(char).mask, self._draw(char.upper()).mask)
            for char in "abdeghmnqrt"
            if char in chars and char.upper() in chars
        ]
        return len(similarities) > 0 and float(np.median(similarities)) > _UNICASE_SIMILARITY

    def _draw(self, char: str) -> Glyph:
        left, top, right, bottom = (int(edge) for edge in self._font.getbbox(char, anchor="ls"))
        if right <= left or bottom <= top:
            return Glyph(np.zeros((0, 0), np.uint8), 0, 0, self._font.getlength(char))
        image = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(image).text((-left, -top), char, 255, self._font, anchor="ls")
        mask = np.array(image)
        advance = self._font.getlength(char)
        return Glyph(mask, left, top, advance, _ink_box(mask), *mask.shape)


class FontCatalog:
    """All faces of a configuration, by family."""

    def __init__(self, paths: list[Path]) -> None:
        families: dict[str, list[Face]] = {}
        for path in paths:
            families.setdefault(path.stem.partition("-")[0], []).append(Face(path))
        self._families = [families[name] for name in sorted(families)]
        self.num_faces = len(paths)

    @cached_property
    def digest(self) -> str:
        """Name this set of faces: the same wherever the same files are found."""
        digest = 0
        for face in self.faces:
            digest = crc32(f"{face.path.name} {face.path.stat().st_size}".encode(), digest)
        return f"{digest:08x}"

    def draw_face(self, text: str, rng: Random) -> Face | None:
        """Draw a face that has all glyphs of a text; None where no face has."""
        first, place = whole(rng, len(self._families)), rng.random()
        for family in _turned(self._families, first):
            for face in _turned(family, int(place * len(family))):
                if face.can_draw(text):
                    return face
        return None

    def can_draw(self, text: str) -> bool:
        """Say whether any face can."""
        return any(face.can_draw(text) for face in self.faces)

    @property
    def faces(self) -> list[Face]:
        """All faces, family by family."""
        return [face for family in self._families for face in family]


@lru_cache(maxsize=4)
def load_fonts(config: FontsConfig) -> FontCatalog:
    """Find the faces of a configuration; once per process.

    Raises:
        ConfigError: A folder is missing or empty, or there is no face at all.
    """
    paths: list[Path] = []
    if config.packages:
        paths += _package_fonts()
    if config.system:
        paths += [Path(path) for path in font_manager.findSystemFonts()]
    for folder in config.folders:
        top = Path(folder).expanduser()
        if not top.is_dir():
            raise ConfigError(f"data.renderer.fonts.folders: {folder} is not a folder")
        found = [path for path in top.rglob("*") if path.suffix.lower() in _ENDINGS]
        if not found:
            raise ConfigError(f"data.renderer.fonts.folders: {folder} has no .ttf or .otf file")
        paths += found
    # The same face may be found twice, as .otf and .ttf, or installed.
    by_stem: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: (path.suffix.lower(), path.name), reverse=True):
        if path.suffix.lower() in _ENDINGS and not path.stem.startswith(_UNFIT):
            by_stem.setdefault(path.stem, path)
    if not by_stem:
        raise ConfigError(
            "no fonts: set data.renderer.fonts.packages, .system or .folders to where some are"
        )
    catalog = FontCatalog([by_stem[stem] for stem in sorted(by_stem)])
    if not catalog.can_draw("a") and not catalog.can_draw("A"):
        raise ConfigError(
            f"no fonts: none of {catalog.num_faces} files of data.renderer.fonts can draw the "
            "letter a"
        )
    return catalog


def _package_fonts() -> list[Path]:
    folders = [Path(mpl.get_data_path()) / "fonts" / "ttf"]
    for group in ("fonts_ttf", "fonts_otf"):
        for entry in entry_points(group=group):
            spec = importlib.util.find_spec(entry.module)
            folders += [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    return [path for folder in folders for path in folder.rglob("*")]


def _ink_box(mask: Mask) -> tuple[int, int, int, int]:
    is_ink = mask >= _FAINTEST
    rows, columns = np.flatnonzero(is_ink.any(axis=1)), np.flatnonzero(is_ink.any(axis=0))
    if not len(rows):
        return (0, 0, mask.shape[1], mask.shape[0])
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _turned(items: list[T], first: int) -> list[T]:
    return items[first:] + items[:first]


def _similarity(first: Mask, second: Mask) -> float:
    """Correlate two glyphs, both scaled to one size; 1 is the same shape."""
    if not first.size or not second.size:
        return 0.0
    scaled = [cv2.resize(m, (16, 16), interpolation=cv2.INTER_AREA) for m in (first, second)]
    return float(np.corrcoef(scaled[0].ravel(), scaled[1].ravel())[0, 1])
