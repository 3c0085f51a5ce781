"""What is read where there is no word: crops of one colour, of noise, of gradients.

    uv run tests/benchmarks/wordless.py --set words='[a.parquet, b.parquet]'

A recogniser takes for granted that there is a word. How far do confidences tell such crops from
words? Also: how much contrast words need to be read, which says whether a crop's contrast would
tell. Prints one JSON object per line.
"""

import json
from collections.abc import Callable

import numpy as np
import pyarrow.parquet as pq
import torch
from pydantic import PositiveInt

from ocr_model import Prediction, Recognizer
from ocr_model.config import Config
from ocr_model.entry_points import parse_command_line
from ocr_model.image import Pixels, decode_image
from ocr_model.inference.options import UPRIGHT
from ocr_model.weights import RECOGNIZER

_SIZES = [(8, 8), (12, 24), (32, 32), (32, 64), (32, 128), (32, 256), (40, 400), (64, 200)]
_HIGH = [(100, 30), (64, 24)]  # read turned to both sides, too
_THRESHOLDS = (0.1, 0.3)
_CONTRASTS = (255, 32, 16, 8, 4, 2, 1)  # levels between the darkest and the brightest pixel
_COPIES = 8  # of each size of noise


class WordlessConfig(Config):
    """What is measured."""

    model: str = RECOGNIZER
    words: tuple[str, ...]
    """Parquet files with images and labels that the model was not trained on, if possible."""
    num_words: PositiveInt = 300
    num_threads: PositiveInt = 1


def main() -> None:
    """Print figures of wordless crops, and of words by their contrast."""
    config = parse_command_line(WordlessConfig, "Measure what is read where there is no word.")
    torch.set_num_threads(config.num_threads)
    recognizer = Recognizer.load(config.model, device="cpu")
    for name, crops in _wordless(np.random.default_rng(0)).items():
        for shape, sizes in (("wide", _SIZES), ("high", _HIGH)):
            chosen = [crop for height, width in sizes for crop in crops(height, width)]
            _say(f"{name}, {shape}", recognizer.read(chosen))
    images, labels = _words(config)
    for contrast in _CONTRASTS:
        faint = [_with_contrast(image, contrast) for image in images]
        readings = recognizer.read(faint, UPRIGHT)
        right = [p for p, label in zip(readings, labels, strict=True) if p.text == label]
        _say(f"words of {contrast} levels, read exactly", right)


def _say(name: str, readings: list[Prediction]) -> None:
    confidences = np.array([reading.confidence for reading in readings] or [0.0])
    figures = {"crops": name, "num": len(readings), "max": round(float(confidences.max()), 3)}
    for threshold in _THRESHOLDS:
        share = float((confidences >= threshold).mean())
        figures[f"share from {threshold}"] = round(share, 4)
    figures["empty"] = sum(not reading.text for reading in readings)
    print(json.dumps(figures), flush=True)


def _wordless(rng: np.random.Generator) -> dict[str, Callable[[int, int], list[Pixels]]]:
    def plain(height: int, width: int) -> list[Pixels]:
        return [np.full((height, width, 3), level, np.uint8) for level in (0, 60, 128, 200, 255)]

    def noise(height: int, width: int) -> list[Pixels]:
        deviations = [1, 2, 4, 8, 16, 32, 64] * _COPIES
        values = [rng.normal(220, deviation, (height, width, 3)) for deviation in deviations]
        return [value.clip(0, 255).astype(np.uint8) for value in values]

    def gradient(height: int, width: int) -> list[Pixels]:
        planes = [
            np.broadcast_to(np.linspace(*ends, num=size).reshape(shape), (height, width))
            for ends in ((255, 230), (255, 150), (0, 255))
            for size, shape in ((width, (1, -1)), (height, (-1, 1)))
        ]
        return [np.repeat(plane[..., None], 3, axis=2).astype(np.uint8) for plane in planes]

    return {"one colour": plain, "noise": noise, "gradient": gradient}


def _words(config: WordlessConfig) -> tuple[list[Pixels], list[str]]:
    tables = [pq.read_table(path, columns=["image", "label"]) for path in config.words]
    rows = [row for table in tables for row in table.to_pylist()]
    chosen = np.random.default_rng(0).permutation(len(rows))[: config.num_words]
    contents = [rows[i]["image"] for i in chosen]
    images = [decode_image(c["bytes"] if isinstance(c, dict) else c) for c in contents]
    return images, [rows[i]["label"] for i in chosen]


def _with_contrast(image: Pixels, num_levels: int) -> Pixels:
    low, high = int(image.min()), int(image.max())
    middle, scale = (low + high) / 2, min(1.0, num_levels / max(1, high - low))
    return np.round(middle + (image - middle) * scale).astype(np.uint8)


if __name__ == "__main__":
    main()
