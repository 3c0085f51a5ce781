"""What kinds of words are read wrong, and a picture of the worst.

    uv run tests/benchmarks/reading_errors.py --set data.source=parquet data.path='[words.parquet]'

Prints one JSON object: the shares of wrong readings by what is wrong with the text, and how often
words are read wrong by what is hard in the picture. With `sheet=FILE.png`, draws the 50 wrong
readings of which the model was surest.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from pydantic import Field
from rapidfuzz.distance import Levenshtein

from ocr_model.data.index import index_for_evaluation
from ocr_model.entry_points import parse_command_line
from ocr_model.image import Pixels, decode_image, resize_image
from ocr_model.inference.evaluation import EvaluateConfig, WordResult, read_samples, read_words
from ocr_model.inference.options import AS_USUAL
from ocr_model.visualize.words import draw_samples
from ocr_model.weights import RECOGNIZER

_ALIKE = str.maketrans("oOQDIl|!i]jsS$zZBgqbG", "000011111115552289966")
_CHUNK = 512
_SHOWN = 50


class ErrorsConfig(EvaluateConfig):
    """Which words, as of jobs/evaluate.py."""

    model: str = RECOGNIZER
    second_look_below: float = Field(AS_USUAL.second_look_below, ge=0, le=1)
    sheet: str | None = None
    """PNG of the worst readings; null: none."""


def main() -> None:
    """Print the table."""
    config = parse_command_line(ErrorsConfig, "Tell what is read wrong.")
    read = list(_read(config))
    wrong = [(result, image) for result, image in read if result.truth != result.prediction.text]
    kinds = Counter(_kind(result.truth, result.prediction.text) for result, _ in wrong)
    table = {
        "words": len(read),
        "wrong": len(wrong),
        "kinds": {kind: round(count / len(wrong), 3) for kind, count in kinds.most_common()},
        "wrong_where": _by_circumstance(read),
    }
    print(json.dumps(table))
    if config.sheet is not None:
        worst = sorted(wrong, key=lambda pair: -pair[0].prediction.confidence)[:_SHOWN]
        results = [result for result, _ in worst]
        picture = draw_samples(
            [image for _, image in worst],
            [result.truth for result in results],
            [result.prediction.text for result in results],
            [result.prediction.confidence for result in results],
            columns=5,
        )
        Path(config.sheet).write_bytes(picture)


def _read(config: ErrorsConfig) -> Iterator[tuple[WordResult, Pixels]]:
    recognizer = config.load_recognizer()
    subset = None if config.subset == "all" else config.subset
    index = index_for_evaluation(config.data, subset)
    for start in range(0, index.num_rows, _CHUNK):
        samples = [s for s in read_samples(config.data, index, start, _CHUNK) if s[2] is not None]
        pixels = [decode_image(image) for _, _, image, _ in samples if image is not None]
        yield from zip(
            read_words(recognizer, samples, config.batch_size, config.read_options()),
            pixels,
            strict=True,
        )


def _kind(truth: str, text: str) -> str:
    """Name the least that would have to be mended."""
    if truth.lower() == text.lower():
        return "case"
    if _letters(truth) == _letters(text):
        return "punctuation"
    if _letters(truth.translate(_ALIKE)) == _letters(text.translate(_ALIKE)):
        return "similar glyphs"
    distance = Levenshtein.distance(_letters(truth), _letters(text))
    if distance == 1:
        return "one character more or less" if len(truth) != len(text) else "one character"
    return "several characters"


def _letters(text: str) -> str:
    return re.sub(r"[^0-9a-z]", "", text.lower())


def _by_circumstance(read: list[tuple[WordResult, Pixels]]) -> dict[str, dict[str, float]]:
    """Return, by what is hard, the share of such words and the share of them read wrong."""
    is_wrong = np.array([result.truth != result.prediction.text for result, _ in read])
    sharpness = np.array([_sharpness(image) for _, image in read])
    heights = np.array([image.shape[0] for _, image in read])
    lengths = np.array([len(result.truth) for result, _ in read])
    aspects = np.array([image.shape[1] / image.shape[0] for _, image in read])
    cases = {
        "all": np.ones(len(read), bool),
        "blurred (the least sharp quarter)": sharpness <= np.quantile(sharpness, 0.25),
        "lower than 16 pixels": heights < 16,
        "longer than 10 characters": lengths > 10,
        "one or two characters": lengths <= 2,
        "turned (higher than wide, of 3 characters or more)": (aspects < 1) & (lengths > 2),
        "with digits": np.array([bool(re.search(r"\d", r.truth)) for r, _ in read]),
        "with punctuation": np.array([not r.truth.isalnum() for r, _ in read]),
    }
    return {
        name: {
            "share": round(float(mask.mean()), 3),
            "wrong": round(float(is_wrong[mask].mean()), 3),
        }
        for name, mask in cases.items()
        if mask.any()
    }


def _sharpness(image: Pixels) -> float:
    """Return the variance of the Laplacian at the model's height, by the picture's contrast."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    scaled = resize_image(image, 32, max(1, round(32 * image.shape[1] / image.shape[0])))
    laplacian = cv2.Laplacian(cv2.cvtColor(scaled, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
    return float(laplacian.var() / max(1.0, float(grey.std()) ** 2))


if __name__ == "__main__":
    main()
