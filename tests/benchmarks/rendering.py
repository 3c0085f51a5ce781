"""Words rendered per second on one core, against decoding them and against a plain Pillow loop.

    uv run tests/benchmarks/rendering.py --set num_words=100000

Rates are the best of many short interleaved rounds, so that other programs disturb little. The
Pillow loop loads the font, draws, blurs and distorts each word. `late_ratio` is the rate after
`num_words` words to that after the first thousands (when the glyphs of all faces are drawn),
`growth` how much memory rose between the two.
"""

import json
import time
from collections.abc import Callable
from io import BytesIO

import cv2
import numpy as np
import psutil
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from pydantic import PositiveInt

from ocr_model.config import Config
from ocr_model.data.draws import Draws
from ocr_model.data.seeding import generator_of
from ocr_model.data.synthetic.renderer import WordRenderer
from ocr_model.data.synthetic.stages import RendererConfig
from ocr_model.data.synthetic.words import LexiconConfig, TextSampler
from ocr_model.entry_points import parse_command_line

_ROUND = 10
_ROUNDS = 300


class RenderingConfig(Config):
    """What is measured."""

    num_words: PositiveInt = 100_000
    all_stages: bool = True
    """Every stage on every word; false: as often as by default."""
    renderer: RendererConfig = RendererConfig()


def main() -> None:
    """Print one JSON object."""
    cv2.setNumThreads(1)
    config = parse_command_line(RenderingConfig, "Measure the word renderer.")
    renderer = WordRenderer(_always(config.renderer) if config.all_stages else config.renderer)
    sampler = TextSampler(LexiconConfig(), renderer.fonts)

    def render(number: int) -> np.ndarray:
        rng = Draws(generator_of(0, number))
        return renderer.render(sampler.draw(rng, is_validation=False), rng).pixels

    def draw_plainly(number: int) -> None:
        rng = generator_of(0, number)
        text = sampler.draw(rng, is_validation=False)
        face = renderer.fonts.draw_face(text, rng)
        assert face is not None
        _draw_with_pillow(text, str(face.path), rng)

    for number in range(3000):  # draws the glyphs of all faces
        render(number)
    encoded = [_jpeg(render(number)) for number in range(_ROUND * _ROUNDS)]
    ways: dict[str, Callable[[int], object]] = {
        "rendered": render,
        "decoded": lambda number: cv2.imdecode(encoded[number], cv2.IMREAD_COLOR),
        "pillow": draw_plainly,
    }
    rates = dict.fromkeys(ways, 0.0)
    for first in range(0, _ROUND * _ROUNDS, _ROUND):
        for name, way in ways.items():
            rates[name] = max(rates[name], _rate(way, first, _ROUND))
    process = psutil.Process()
    early, before = _best_rate(render, 3000), process.memory_info().rss
    for number in range(4000, config.num_words):
        render(number)
    late = _best_rate(render, config.num_words)
    figures = {
        **{f"{name}_per_second": round(rate) for name, rate in rates.items()},
        "jpeg_bytes": round(sum(map(len, encoded)) / len(encoded)),
        "of_decoding": round(rates["rendered"] / rates["decoded"], 3),
        "times_pillow": round(rates["rendered"] / rates["pillow"], 1),
        "late_ratio": round(late / early, 3),
        "growth": round(process.memory_info().rss / before - 1, 3),
    }
    print(json.dumps(figures))


def _always(config: RendererConfig) -> RendererConfig:
    """Turn every stage on for every word."""
    values = config.model_dump()
    for stage in (*values.values(), *values["degrade"].values()):
        if isinstance(stage, dict) and "probability" in stage:
            stage["probability"] = 1.0
    return RendererConfig.model_validate(values)


def _rate(way: Callable[[int], object], first: int, count: int) -> float:
    began = time.perf_counter()
    for number in range(first, first + count):
        way(number)
    return count / (time.perf_counter() - began)


def _best_rate(way: Callable[[int], object], first: int) -> float:
    return max(_rate(way, first + part, _ROUND) for part in range(0, 1000, _ROUND))


def _jpeg(pixels: np.ndarray) -> np.ndarray:
    _, encoded = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, 90))
    return encoded


def _draw_with_pillow(text: str, path: str, rng: np.random.Generator) -> bytes:
    font = ImageFont.truetype(path, 32)
    left, top, right, bottom = font.getbbox(text)
    size = (int(right - left) + 16, int(bottom - top) + 16)
    image = Image.new("RGB", size, tuple(int(c) for c in rng.integers(0, 256, 3)))
    ink = tuple(int(c) for c in rng.integers(0, 256, 3))
    ImageDraw.Draw(image).text((8 - left, 8 - top), text, ink, font)
    image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.5))))
    moves = rng.uniform(-4, 4, 8)
    width, height = size
    corners = (0, 0, 0, height, width, height, width, 0)
    quad = tuple(float(c + m) for c, m in zip(corners, moves, strict=True))
    image = image.transform(size, Image.Transform.QUAD, quad, Image.Resampling.BILINEAR)
    image = image.resize((max(8, width * 32 // height), 32))
    noise = rng.normal(0, 8, (*image.size[::-1], 3))
    noisy = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    buffer = BytesIO()
    noisy.save(buffer, "JPEG", quality=60)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
