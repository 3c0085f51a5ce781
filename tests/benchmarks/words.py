"""Held-out words read by ours, Tesseract and RapidOCR's recogniser, one after the other.

    uv run --with rapidocr-onnxruntime tests/benchmarks/words.py --set data.source=parquet \
        data.path='[words.parquet]' data.validation_fraction=0.1 \
        readers='[ours, tesseract, rapidocr]'

Scores are by 36 characters, of words whose label has any of them. Ours reads batches; Tesseract is
Debian's, a process per word as a single word (psm 8); RapidOCR is PP-OCRv4 mobile in ONNX without
its detector. Both are installed for this only.
"""

import json
import subprocess
import time
from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
import torch
from pydantic import Field, PositiveInt

from ocr_model.data.index import index_for_evaluation
from ocr_model.entry_points import parse_command_line
from ocr_model.image import decode_image
from ocr_model.inference.evaluation import EvaluateConfig, read_samples
from ocr_model.inference.options import AS_USUAL, Orientations
from ocr_model.inference.recognizer import Recognizer
from ocr_model.metrics import alphanumeric, is_right
from ocr_model.weights import RECOGNIZER

Read = Callable[[list[bytes]], list[str]]


class WordsConfig(EvaluateConfig):
    """Which words, as of jobs/evaluate.py, and who reads them."""

    model: str = RECOGNIZER
    subset: Literal["train", "validation", "all"] = "validation"
    orientations: Orientations = AS_USUAL.orientations
    second_look_below: float = Field(AS_USUAL.second_look_below, ge=0, le=1)
    readers: tuple[Literal["ours", "tesseract", "rapidocr"], ...] = ("ours", "tesseract")
    every: PositiveInt = 1
    """Read one word in so many."""
    num_threads: PositiveInt = 2


def main() -> None:
    """Print one JSON object per reader."""
    config = parse_command_line(WordsConfig, "Measure words.")
    torch.set_num_threads(config.num_threads)
    index = index_for_evaluation(config.data, None if config.subset == "all" else config.subset)
    samples = read_samples(config.data, index, 0, index.num_rows)
    words = [
        (image, label)
        for _, label, image, _ in list(samples)[:: config.every]
        if image is not None and alphanumeric(label)
    ]
    images = [image for image, _ in words]
    makers = {
        "ours": lambda: _ours(config),
        "tesseract": lambda: _tesseract(config.num_threads),
        "rapidocr": lambda: _rapidocr(config.num_threads),
    }
    for name in config.readers:
        read = makers[name]()
        read(images[:1])
        began = time.perf_counter()
        texts = read(images)
        seconds = time.perf_counter() - began
        right = [is_right(label, text) for (_, label), text in zip(words, texts, strict=True)]
        figures = {"words": len(words), "accuracy": round(float(np.mean(right)), 4)}
        print(json.dumps({"reader": name, **figures, "per_second": round(len(words) / seconds, 1)}))


def _ours(config: WordsConfig) -> Read:
    precision = config.precision or "auto"
    recognizer = Recognizer.load(
        config.model, device=config.device, kind=config.kind, precision=precision
    )
    options = config.read_options()
    return lambda images: [prediction.text for prediction in recognizer.read(images, options)]


def _tesseract(num_threads: int) -> Read:
    environment = {"OMP_THREAD_LIMIT": str(num_threads), "PATH": "/usr/bin:/usr/local/bin"}

    def read_one(image: bytes) -> str:
        _, png = cv2.imencode(".png", decode_image(image)[..., ::-1])
        command = ["tesseract", "stdin", "stdout", "--psm", "8"]
        done = subprocess.run(
            command, input=png.tobytes(), capture_output=True, check=True, env=environment
        )
        return done.stdout.decode()

    return lambda images: [read_one(image) for image in images]


def _rapidocr(num_threads: int) -> Read:
    from rapidocr_onnxruntime import RapidOCR  # noqa: PLC0415  # only where it is installed

    engine = RapidOCR(intra_op_num_threads=num_threads)

    def read(images: list[bytes]) -> list[str]:
        pixels = [decode_image(image)[..., ::-1] for image in images]
        found, _ = engine.text_rec(pixels)
        return [text for text, *_ in found]

    return read


if __name__ == "__main__":
    main()
