"""Word images from fonts: the plain renderer of the quick-start."""

from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pydantic import NonNegativeFloat

from ocr_model.config import Config
from ocr_model.image import Pixels


class RendererConfig(Config):
    """How hard the rendered words are."""

    noise: NonNegativeFloat = 8.0
    """Largest standard deviation of pixel noise, in grey levels."""
    blur: NonNegativeFloat = 0.8
    """Largest standard deviation of the blur, in pixels of a 32 pixel high word."""


class WordRenderer:
    """Draws words in the fonts that come with matplotlib; light on dark or dark on light."""

    def __init__(self, config: RendererConfig) -> None:
        self.config = config

    def render(self, word: str, rng: np.random.Generator) -> Pixels:
        """Return a word image some 32 pixels high; the same generator state, the same image."""
        font = _font(int(rng.integers(len(_font_files()))), int(rng.integers(22, 34)))
        left, top, right, bottom = font.getbbox(word)
        margins = rng.integers(1, 7, 4)
        size = (int(right - left + margins[:2].sum()), int(bottom - top + margins[2:].sum()))
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).text((margins[0] - left, margins[2] - top), word, 255, font)
        alpha = np.asarray(mask, np.float32)[..., None] / 255
        paper, ink = _colours(rng)
        pixels = paper + alpha * (ink - paper)
        sigma = float(rng.uniform(0, self.config.blur))
        if sigma > 0.2:
            pixels = cv2.GaussianBlur(pixels, (0, 0), sigma)
        spread = rng.uniform(0, self.config.noise)
        pixels = pixels + rng.standard_normal(pixels.shape, np.float32) * np.float32(spread)
        clipped: Pixels = np.clip(pixels, 0, 255).astype(np.uint8)
        return clipped


def _colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw paper and ink that differ by at least 60 grey levels."""
    while True:
        paper, ink = rng.integers(0, 256, (2, 3)).astype(np.float32)
        if abs(paper.mean() - ink.mean()) >= 60:
            return paper, ink


@lru_cache(maxsize=1)
def _font_files() -> tuple[Path, ...]:
    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    return tuple(
        sorted(
            p
            for p in folder.glob("*.ttf")
            if p.name.startswith(("DejaVuSans", "DejaVuSerif")) and "Display" not in p.name
        )
    )


@lru_cache(maxsize=512)
def _font(index: int, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_font_files()[index], size)
