"""Words of mixed widths: batches by width against padding every word to the widest.

    uv run tests/benchmarks/mixed_widths.py --set words='[iiit5k.parquet, svt.parquet]'

The same model (kept aspect, random weights unless a bundle is given) reads the same words, decoding
and scaling included; turns are interleaved and the best of each counts. Texts must be identical.
"""

import json
import time

import numpy as np
import pyarrow.parquet as pq
import torch
from pydantic import PositiveInt

from ocr_model import Recognizer, image
from ocr_model.bundle import Bundle, BundleInfo, load_bundle
from ocr_model.charset import BLANK, EOS, Charset, Normalization
from ocr_model.config import Config
from ocr_model.entry_points import parse_command_line
from ocr_model.image import ImageGeometry
from ocr_model.models import ModelConfig, build_model
from ocr_model.models.resnet_transformer import ResNetTransformerConfig


class WidthsConfig(Config):
    """What is measured."""

    words: tuple[str, ...]
    """Parquet files with images."""
    num_words: PositiveInt = 2000
    model: ModelConfig = ResNetTransformerConfig(
        backbone="resnet10", backbone_width=0.5, hidden=192, num_layers=2, num_heads=6,
        num_kv_heads=6, feed_forward=512,
    )  # fmt: skip
    bundle: str | None = None
    """Of a model with image.fit=pad, instead of random weights."""
    width: PositiveInt = 256
    num_threads: PositiveInt = 1
    turns: PositiveInt = 3


def main() -> None:
    """Print one JSON object."""
    config = parse_command_line(WidthsConfig, "Measure batches by width.")
    torch.set_num_threads(config.num_threads)
    images = _images(config)
    recognizer = Recognizer(load_bundle(config.bundle) if config.bundle else _untrained(config))
    step, widest = image.WIDTH_STEP, recognizer.info.geometry.width
    seconds = dict.fromkeys(("by_width", "widest"), float("inf"))
    texts: dict[str, list[str]] = {}
    for _ in range(config.turns):
        for name, width_step in (("by_width", step), ("widest", widest)):
            image.WIDTH_STEP = width_step  # what widths are rounded up to
            began = time.perf_counter()
            texts[name] = [p.text for p in recognizer.read(images)]
            seconds[name] = min(seconds[name], time.perf_counter() - began)
    figures = {
        **{f"{name}_per_second": round(len(images) / value, 1) for name, value in seconds.items()},
        "ratio": round(seconds["widest"] / seconds["by_width"], 2),
        "different_texts": sum(a != b for a, b in zip(*texts.values(), strict=True)),
        "distinct_texts": len(set(texts["by_width"])),
    }
    print(json.dumps(figures))


def _images(config: WidthsConfig) -> list[bytes]:
    images = [
        image["bytes"] if isinstance(image, dict) else image
        for path in config.words
        for image in pq.read_table(path, columns=["image"])["image"].to_pylist()
    ]
    chosen = np.random.default_rng(0).permutation(len(images))[: config.num_words]
    return [images[i] for i in chosen]


def _untrained(config: WidthsConfig) -> Bundle:
    torch.manual_seed(0)
    charset = Charset("".join(map(chr, range(33, 127))))
    geometry = ImageGeometry(width=config.width, fit="pad")
    model = build_model(config.model, charset.num_classes, geometry)
    pixels = torch.randint(0, 256, (8, geometry.height, geometry.width, 3)).to(torch.uint8)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear) and module.out_features == charset.num_classes:
                module.weight *= 8  # readings as different as a trained model's
                module.bias[BLANK] -= 1
                module.bias[EOS] += 2  # words end, early enough
        for _ in range(10):
            model.encode(pixels, torch.full((8,), geometry.width))
    info = BundleInfo(
        model=config.model,
        charset=charset.characters,
        normalization=Normalization.PRINTABLE,
        geometry=geometry,
        max_chars=25,
    )
    return Bundle(info, model.eval(), charset)


if __name__ == "__main__":
    main()
