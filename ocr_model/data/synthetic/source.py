"""Rendered words as a source: made while they are read, never stored."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal
from zlib import crc32

from pydantic import PositiveInt, model_validator

from ocr_model.data.draws import Draws, Random
from ocr_model.data.fragments import Fragment, Rows, Sample
from ocr_model.data.seeding import generator_of
from ocr_model.data.source_config import ROWS_PER_FRAGMENT, SourceConfig, Subset, runs, split_of
from ocr_model.data.synthetic.fonts import FontsConfig, load_fonts
from ocr_model.data.synthetic.renderer import word_renderer
from ocr_model.data.synthetic.stages import RendererConfig
from ocr_model.data.synthetic.words import LexiconConfig, TextSampler
from ocr_model.errors import ConfigError, DatasetError


class SyntheticSource(SourceConfig):
    """Rendered words; every epoch has new ones.

    Sample `i` of a seed is the same on every machine that has the same fonts (and files named in
    these settings), whoever renders it; a worker with others refuses. Validation words are of a
    part of the lexicon that training never draws from.
    """

    source: Literal["synthetic"] = "synthetic"
    num_words: PositiveInt = 20_000
    """Words per epoch."""
    num_validation_words: PositiveInt = 1_000
    lexicon: LexiconConfig = LexiconConfig()
    renderer: RendererConfig = RendererConfig()

    @model_validator(mode="after")
    def _settings_have_effect(self) -> "SyntheticSource":
        if self.repeats > 1:
            raise ValueError(f"repeats={self.repeats}: raise num_words, which draws new words")
        return self

    @property
    def longest_drawn(self) -> int:
        """The lexicon's limit."""
        return self.lexicon.max_chars

    @property
    def alphabet(self) -> str:
        """Characters of the lexicon and of the grammar: later epochs draw other words."""
        return self._sampler.alphabet

    def fragments(self, subset: Subset) -> list[Fragment]:
        """List runs of sample numbers.

        Raises:
            ConfigError: Fonts, lexicon or photographs are missing.
        """
        if self.validation_fraction:
            raise ConfigError(
                "synthetic has validation words of its own; data.validation_fraction is for others"
            )
        count = self.num_words if subset == "train" else self.num_validation_words
        return runs(f"synthetic:{self._material}@{subset}", count)

    def labels(self, fragment: Fragment) -> Sequence[str | None]:
        """Return the words of the first epoch."""
        return [self._draw(fragment, row, 0)[0] for row in range(fragment.num_rows)]

    def read(self, fragment: Fragment, rows: Rows, *, epoch: int) -> list[Sample]:
        """Render.

        Raises:
            DatasetError: This machine has other fonts or files than the one that planned the run.
        """
        planned = fragment.uri.removeprefix("synthetic:").partition("@")[0]
        if planned != self._material:
            raise DatasetError(
                "this machine has other fonts, words or photographs than the one that planned the "
                f"run ({self._material}, planned with {planned}): install the same ones on all, or "
                "set data.renderer.fonts.system=false"
            )
        renderer = word_renderer(self.renderer)
        samples = []
        for row in rows:
            text, rng = self._draw(fragment, int(row), epoch)
            try:
                rendered = renderer.render(text, rng)
            except DatasetError as error:
                samples.append(Sample(None, text, f"undrawable: {error}"))
                continue
            samples.append(Sample(rendered.pixels, text, char_quads=rendered.char_quads))
        return samples

    def eased(self, share: float) -> "SyntheticSource":
        """Return the same words, drawn with a share of the renderer's difficulty."""
        difficulty = share * self.renderer.difficulty
        return self.replace(renderer=self.renderer.replace(difficulty=difficulty))

    @property
    def _sampler(self) -> TextSampler:
        return _text_sampler(self.lexicon, self.renderer.fonts)

    @property
    def _material(self) -> str:
        """Name what this machine brings to the pictures."""
        return _digest(self.lexicon, self.renderer.fonts, self.renderer.surface.photos)

    def _draw(self, fragment: Fragment, row: int, epoch: int) -> tuple[str, Random]:
        """Draw a text; the generator goes on to draw its picture.

        A row's texts of all epochs are of one kind and length: batches are planned by length.
        """
        is_validation = split_of(fragment) == "validation"
        number = fragment.part * ROWS_PER_FRAGMENT + row
        rng = Draws(generator_of(self.seed, int(is_validation), 0, number))
        kind = self._sampler.draw_kind(rng)
        text = self._sampler.draw_of_kind(kind, rng, is_validation=is_validation)
        if is_validation or not epoch:
            return text, rng
        rng = Draws(generator_of(self.seed, 0, epoch, number))
        return self._sampler.draw_of_kind(kind, rng, is_validation=False, like=text), rng


@lru_cache(maxsize=4)
def _text_sampler(lexicon: LexiconConfig, fonts: FontsConfig) -> TextSampler:
    return TextSampler(lexicon, load_fonts(fonts))


@lru_cache(maxsize=4)
def _digest(lexicon: LexiconConfig, fonts: FontsConfig, photos: str | None) -> str:
    digest = crc32(_text_sampler(lexicon, fonts).digest.encode())
    digest = crc32(load_fonts(fonts).digest.encode(), digest)
    if photos is not None:
        files = sorted(path for path in Path(photos).expanduser().rglob("*") if path.is_file())
        for path in files:
            digest = crc32(f"{path.name} {path.stat().st_size}".encode(), digest)
    return f"{digest:08x}"
