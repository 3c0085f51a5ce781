"""How fast the words and lines of a page with 2,000 words are found, against EasyOCR.

    uv run tests/benchmarks/boxes.py

The maps are as CRAFT gives them for a page of 2560 x 1920 pixels: a round heat for every character
and every gap within a word. EasyOCR's functions run on the same maps, and must find the same words.
OpenCV uses one thread; `two_threads_times` is how much faster several such pages are found by two.
Seconds are the best of some turns. The second thread needs a core that is free.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from easyocr.craft_utils import adjustResultCoordinates, getDetBoxes
from easyocr.utils import group_text_box
from pydantic import PositiveInt

from ocr_model.config import Config
from ocr_model.detection.boxes import find_words
from ocr_model.detection.grouping import LineConfig, group_lines
from ocr_model.detection.maps import BoxConfig, TextMaps
from ocr_model.entry_points import parse_command_line

_COLUMNS, _COLUMN_CELLS, _ROW_CELLS = 40, 24, 25  # a word per field
_PAGES = 8


class BoxesBenchmark(Config):
    """What is measured."""

    num_words: PositiveInt = 2_000
    turns: PositiveInt = 5


def main() -> None:
    """Print one JSON object."""
    config = parse_command_line(BoxesBenchmark, "Measure finding words and lines.")
    cv2.setNumThreads(1)
    maps = _page(config.num_words)
    found = find_words(maps)
    lines = group_lines(found.quads)
    began = time.perf_counter()
    expected = _easyocr_words(maps)
    between = time.perf_counter()
    _easyocr_lines(expected)
    easyocr_seconds = between - began, time.perf_counter() - between
    np.testing.assert_allclose(found.quads, expected, atol=1e-3)
    words_seconds = _best(lambda: find_words(maps), config.turns)
    lines_seconds = _best(lambda: group_lines(found.quads), config.turns)
    with ThreadPoolExecutor(2) as pool:
        one = _best(lambda: [find_words(maps) for _ in range(_PAGES)], config.turns)
        two = _best(lambda: list(pool.map(find_words, [maps] * _PAGES)), config.turns)
    figures = {
        "words": len(found.quads),
        "lines": len(lines.quads),
        "words_seconds": round(words_seconds, 4),
        "lines_seconds": round(lines_seconds, 4),
        "easyocr_words_seconds": round(easyocr_seconds[0], 3),
        "easyocr_lines_seconds": round(easyocr_seconds[1], 3),
        "times_easyocr": round(sum(easyocr_seconds) / (words_seconds + lines_seconds), 1),
        "two_threads_times": round(one / two, 2),
    }
    print(json.dumps(figures))


def _page(num_words: int) -> TextMaps:
    draws = np.random.default_rng(0)
    num_rows = -(-num_words // _COLUMNS)
    shape = num_rows * _ROW_CELLS + 10, _COLUMNS * _COLUMN_CELLS
    region, affinity = np.zeros((2, *shape), np.float32)
    for word in range(num_words):
        row, column = divmod(word, _COLUMNS)
        left, middle = column * _COLUMN_CELLS + 4, row * _ROW_CELLS + 12
        num_chars = int(draws.integers(1, 6))
        for place in range(left, left + 4 * num_chars, 4):
            cv2.circle(region, (place, middle), 2, 1, -1)
            if place > left:
                cv2.circle(affinity, (place - 2, middle), 1, 1, -1)
    region, affinity = (cv2.GaussianBlur(layer, (0, 0), 0.8) for layer in (region, affinity))
    return TextMaps(region, affinity, (2.0, 2.0), (2 * shape[0], 2 * shape[1]))


def _easyocr_words(maps: TextMaps) -> np.ndarray:
    config = BoxConfig()
    thresholds = config.text_threshold, config.link_threshold, config.low_text
    boxes, _, _ = getDetBoxes(maps.region, maps.affinity, *thresholds)
    return np.array(adjustResultCoordinates(boxes, 1.0, 1.0))


def _easyocr_lines(quads: np.ndarray) -> None:
    corners = [quad.astype(np.int32).reshape(-1) for quad in quads]
    group_text_box(corners, **LineConfig().model_dump(exclude={"min_size"}))


def _best(way: Callable[[], object], turns: int) -> float:
    times = []
    for _ in range(turns):
        began = time.perf_counter()
        way()
        times.append(time.perf_counter() - began)
    return min(times)


if __name__ == "__main__":
    main()
