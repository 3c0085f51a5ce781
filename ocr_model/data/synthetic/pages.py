"""Rendered pages and scenes: every word with its text, its quad, and a quad per character.

Source: the layouts are ours. That character and word boxes come with the rendering is the idea of
SynthText (Gupta et al. 2016, arXiv:1604.06646), whose scenes lay text on segmented photographs;
ours lay it on drawn walls and signs, or on photographs without regard to what they show.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

import numpy as np
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator

from ocr_model.config import Config
from ocr_model.data.draws import Range, Shares, between, happens
from ocr_model.data.synthetic.colours import Surface, load_photos, procedural_textures
from ocr_model.data.synthetic.degrade import DegradeConfig, JpegConfig, degrade
from ocr_model.data.synthetic.fonts import FontsConfig, load_fonts
from ocr_model.data.synthetic.forms import lay_form
from ocr_model.data.synthetic.layouts import Setting, lay_text
from ocr_model.data.synthetic.page_faces import PageFaces
from ocr_model.data.synthetic.page_words import PageWord, is_inside
from ocr_model.data.synthetic.paper import PaperConfig, View, draw_view, look_at, print_sheet
from ocr_model.data.synthetic.receipts import lay_receipt
from ocr_model.data.synthetic.scenes import SceneConfig, draw_scene
from ocr_model.data.synthetic.sheets import PlacedWord, Sheet
from ocr_model.data.synthetic.tables import lay_tables
from ocr_model.data.synthetic.warp import corners_of
from ocr_model.data.synthetic.wording import Wording, load_texts
from ocr_model.data.synthetic.words import LexiconConfig
from ocr_model.image import Pixels

PageKind = Literal["paragraph", "form", "receipt", "table", "scene"]
_LAYOUTS = {
    "paragraph": lay_text, "form": lay_form, "receipt": lay_receipt, "table": lay_tables
}  # fmt: skip


class KindShares(Shares):
    """How often a page is of which kind."""

    paragraph: NonNegativeFloat = 0.2
    form: NonNegativeFloat = 0.2
    receipt: NonNegativeFloat = 0.2
    table: NonNegativeFloat = 0.1
    scene: NonNegativeFloat = 0.3


class PageSide(Range):
    """Longer side of pages and receipts, in pixels; the other follows."""

    least: PositiveFloat = 896.0
    most: PositiveFloat = 1152.0


class SceneSide(Range):
    """Longer side of scenes, in pixels."""

    least: PositiveFloat = 480.0
    most: PositiveFloat = 1024.0


class TextHeight(Range):
    """Height of a small x in a page's smallest text, in pixels.

    FUNSD has some 8 on pages of 1,000; below 7 a person guesses.
    """

    least: PositiveFloat = 7.0
    most: PositiveFloat = 11.0


class PageJpegConfig(JpegConfig):
    """Scans and photographs, which nothing augments later."""

    probability: float = Field(0.4, ge=0, le=1)


class PageDegradeConfig(DegradeConfig):
    """As of words, with JPEG."""

    jpeg: PageJpegConfig = PageJpegConfig()


class PageConfig(Config):
    """What pages there are and how they are seen."""

    kinds: KindShares = KindShares()
    page_side: PageSide = PageSide()
    scene_side: SceneSide = SceneSide()
    x_height: TextHeight = TextHeight()
    fonts: FontsConfig = FontsConfig()
    lexicon: LexiconConfig = LexiconConfig()
    """Words alone: what pages need beside them, in which case, is their layout's to say."""
    paper: PaperConfig = PaperConfig()
    scene: SceneConfig = SceneConfig()
    degrade: PageDegradeConfig = PageDegradeConfig()
    """Amounts are of a word 32 pixels high, and scaled to the page's smallest text."""

    @model_validator(mode="after")
    def _lexicon_is_words(self) -> "PageConfig":
        defaults = LexiconConfig()
        for name in ("shares", "case", "punctuation"):
            if getattr(self.lexicon, name) != getattr(defaults, name):
                raise ValueError(
                    f"lexicon.{name} has no effect on pages: the layout says what stands where"
                )
        return self


@dataclass(frozen=True)
class RenderedPage:
    """A picture and all that is written in it."""

    pixels: Pixels
    words: tuple[PageWord, ...]
    """In reading order."""
    kind: PageKind


class PageRenderer:
    """Draws pages; the same generator state and fonts give the same page on any machine."""

    def __init__(self, config: PageConfig) -> None:
        """Load fonts and words.

        Raises:
            ConfigError: They are missing, or no font has all characters of the words.
        """
        self.config = config
        fonts = load_fonts(config.fonts)
        self._texts = load_texts(config.lexicon, config.fonts)
        self._faces = PageFaces(fonts, self._texts.alphabet)

    def render(self, rng: np.random.Generator, *, is_validation: bool = False) -> RenderedPage:
        """Draw a page of the part for training or of that for validation."""
        kind = cast("PageKind", self.config.kinds.draw(rng))
        wording = Wording(self._texts, rng, is_validation=is_validation)
        if kind == "scene":
            side = self.config.scene_side.draw(rng)
            width, height = round(side), round(side * between(rng, 0.62, 0.85))
            pixels, words, x_height = draw_scene(
                (height, width), self._surfaces, self._faces, wording, self.config.scene, rng
            )
        else:
            pixels, words, x_height = self._render_sheet(kind, wording, rng)
        pixels = degrade(
            pixels,
            self.config.degrade,
            rng,
            # Easy and hard pages are mixed, as words are.
            strength=float(rng.random()),
            text_height=2 * x_height,
        )
        return RenderedPage(pixels, tuple(words), kind)

    @property
    def _surfaces(self) -> list[Surface]:
        photos = self.config.scene.photos
        return procedural_textures() if photos is None else load_photos(photos)

    def _render_sheet(
        self, kind: str, wording: Wording, rng: np.random.Generator
    ) -> tuple[Pixels, list[PageWord], float]:
        side = self.config.page_side.draw(rng)
        is_receipt = kind == "receipt"
        short = side * (between(rng, 0.38, 0.7) if is_receipt else between(rng, 0.7, 0.8))
        width, height = round(short), round(side)
        if kind == "table" and happens(rng, 0.2):
            width, height = height, width
        inset = between(rng, 0, 0.15) if is_receipt and happens(rng, 0.5) else 0
        view = draw_view(width, height, self.config.paper, rng, inset=inset)
        x_height = self.config.x_height.draw(rng)
        if is_receipt:  # as many letters a line as tills print, if that is large enough to read
            x_height = max(self.config.x_height.least, view.sheet_width / between(rng, 34, 60))
        sheet = Sheet(view.sheet_width, view.sheet_height)
        _LAYOUTS[kind](Setting(sheet, wording, self._faces, x_height, rng))
        seen = [_seen(placed, view) for placed in sheet.words]
        is_kept = np.array([is_inside(word.char_quads, height, width) for word in seen], bool)
        pixels = print_sheet(sheet.masks(is_kept), (sheet.height, sheet.width), rng)
        pixels = look_at(pixels, view, procedural_textures(), rng)
        words = [word for word, kept in zip(seen, is_kept, strict=True) if kept]
        return pixels, words, x_height


@lru_cache(maxsize=4)
def page_renderer(config: PageConfig) -> PageRenderer:
    """Return this process's renderer of a configuration, with the glyphs that it has drawn."""
    return PageRenderer(config)


def render_page(config: PageConfig, seed: int, number: int, *, is_validation: bool) -> RenderedPage:
    """Render page `number` of a seed: the same on every machine that has the same fonts."""
    rng = np.random.default_rng([seed, int(is_validation), number])
    return page_renderer(config).render(rng, is_validation=is_validation)


def _seen(placed: PlacedWord, view: View) -> PageWord:
    boxes = placed.word.char_boxes
    whole_box = np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
    quads = view.forward(corners_of(np.vstack([whole_box, boxes])).reshape(-1, 2)).reshape(-1, 4, 2)
    return PageWord(placed.word.text, quads[0], quads[1:], placed.line, placed.block)
