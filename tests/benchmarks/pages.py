"""Whole pages: ours, Tesseract's and RapidOCR's, on the same pages, one after the other.

    uv run --with rapidocr-onnxruntime tests/benchmarks/pages.py --set pages=funsd.parquet \
        readers='[ours, tesseract, rapidocr]' words_are=words

Tesseract is Debian's, called as its users do: one process a page, defaults, word boxes as TSV.
RapidOCR is PP-OCRv4 mobile in ONNX. Both are installed for this only.

Scores: bag-of-words F1 over white-space separated tokens, of which case and what is neither letter
nor digit are taken away; CER of the whole text in reading order, as the label file orders it;
precision, recall and H-mean of boxes at IoU 0.5, where the truth has boxes of words and so has the
reader. Pages are read one at a time, and seconds are the mean of all; the first page is read once
before.
"""

import io
import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from pydantic import PositiveInt
from rapidfuzz.distance import Levenshtein

from ocr_model.config import Config
from ocr_model.detection.scoring import DetectionCounts, count_detections
from ocr_model.entry_points import parse_command_line
from ocr_model.image import Pixels, decode_image
from ocr_model.inference.page_reader import PageReader
from ocr_model.inference.reader_config import PageReaderConfig

UNREADABLE = "###"
Read = Callable[[Pixels], tuple[str, np.ndarray | None]]
"""Text, and quads of words, or None where a reader has other boxes."""


class PagesConfig(Config):
    """What is read, and by whom."""

    pages: str
    """Parquet with `image` and `regions`, a JSON list of polygons and texts."""
    words_are: Literal["words", "lines", "some"] = "words"
    """What the truth has polygons of; `some`: of a part of the words: only recall counts."""
    every: PositiveInt = 1
    """Read one page in so many, from the first on."""
    readers: tuple[Literal["ours", "tesseract", "rapidocr"], ...] = ("ours", "tesseract")
    reader: PageReaderConfig = PageReaderConfig()
    num_threads: PositiveInt = 2


def main() -> None:
    """Print one JSON object per reader."""
    config = parse_command_line(PagesConfig, "Measure whole pages.")
    torch.set_num_threads(config.num_threads)
    rows = pq.read_table(config.pages).to_pylist()[:: config.every]
    pages = [(decode_image(row["image"]), json.loads(row["regions"])) for row in rows]
    makers: dict[str, Callable[[], Read]] = {
        "ours": lambda: _ours(config.reader),
        "tesseract": lambda: _tesseract(config.num_threads),
        "rapidocr": lambda: _rapidocr(config.num_threads),
    }
    for name in config.readers:
        print(json.dumps({"reader": name, **_score(makers[name](), pages, config.words_are)}))


def _score(
    read: Read, pages: list[tuple[Pixels, list[dict[str, Any]]]], words_are: str
) -> dict[str, float]:
    read(pages[0][0])
    tokens, edits, chars, seconds = np.zeros(3), 0, 0, 0.0
    detections = DetectionCounts()
    for pixels, regions in pages:
        began = time.perf_counter()
        text, quads = read(pixels)
        seconds += time.perf_counter() - began
        truth = [region["text"] for region in regions if region["text"] != UNREADABLE]
        tokens += _common_tokens(" ".join(truth), text)
        flat = " ".join(" ".join(truth).split())
        edits += Levenshtein.distance(flat, " ".join(text.split()))
        chars += len(flat)
        if quads is not None and words_are != "lines":
            polygons = np.array([r["polygon"] for r in regions], np.float32).reshape(-1, 4, 2)
            is_ignored = np.array([r["text"] == UNREADABLE for r in regions], bool)
            detections += count_detections(polygons, quads.astype(np.float32), is_ignored)
    both, wanted, found = tokens
    scores = {"recall": both / wanted, "seconds_per_page": seconds / len(pages)}
    if words_are != "some":
        scores |= {"f1": 2 * both / (wanted + found), "cer": edits / chars}
    if detections.num_found:
        scores |= {f"box_{name}": value for name, value in detections.summary().items()}
    return {"num_pages": len(pages), **{name: round(value, 4) for name, value in scores.items()}}


def _common_tokens(truth: str, text: str) -> np.ndarray:
    wanted, found = Counter(_tokens(truth)), Counter(_tokens(text))
    return np.array([(wanted & found).total(), wanted.total(), found.total()], np.float64)


def _tokens(text: str) -> list[str]:
    kept = ("".join(c for c in token.lower() if c.isalnum()) for token in text.split())
    return [token for token in kept if token]


def _ours(config: PageReaderConfig) -> Read:
    reader = PageReader.load(config)

    def read(pixels: Pixels) -> tuple[str, np.ndarray]:
        page = reader.read(pixels)
        return page.text, np.array([w.polygon for w in page.words], np.float32).reshape(-1, 4, 2)

    return read


def _tesseract(num_threads: int) -> Read:
    def read(pixels: Pixels) -> tuple[str, np.ndarray]:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
        table = subprocess.run(
            ["tesseract", "stdin", "stdout", "tsv"],
            input=buffer.getvalue(),
            capture_output=True,
            check=True,
            env={"OMP_THREAD_LIMIT": str(num_threads), "PATH": "/usr/bin:/usr/local/bin"},
        ).stdout.decode()
        words = [line.split("\t") for line in table.splitlines()[1:]]
        words = [word for word in words if word[0] == "5" and word[11].strip()]
        boxes = np.array([[int(n) for n in word[6:10]] for word in words]).reshape(-1, 4)
        left, top, width, height = boxes.T
        right, bottom = left + width, top + height
        corners = np.stack([left, top, right, top, right, bottom, left, bottom], axis=1)
        return " ".join(word[11] for word in words), corners.reshape(-1, 4, 2)

    return read


def _rapidocr(num_threads: int) -> Read:
    from rapidocr_onnxruntime import RapidOCR  # noqa: PLC0415  # only where it is installed

    engine = RapidOCR(intra_op_num_threads=num_threads)

    def read(pixels: Pixels) -> tuple[str, None]:
        found, _ = engine(pixels[..., ::-1])
        return " ".join(text for _, text, _ in found or []), None

    return read


if __name__ == "__main__":
    main()
