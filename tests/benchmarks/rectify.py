"""Words per second cut out of a page, against straightening each at full size and then fitting it.

    OMP_NUM_THREADS=1 uv run tests/benchmarks/rectify.py

The page has 2,000 words of mixed widths, of one height and turn at a time; the naive way takes
OpenCV's homography of each quad, warps it at the page's resolution, and scales that as
`fit_image` does. Turns are interleaved, the best of each counts, and seconds are of this process
alone. The difference is the mean over pixels, in grey levels, of two ways that are both right;
`warp_alone` is that of a warp without shrinking first.
"""

import json
import time
from collections.abc import Callable

import cv2
import numpy as np
from pydantic import PositiveInt

from ocr_model.config import Config
from ocr_model.detection.rectify import RectifyConfig, rectify
from ocr_model.entry_points import parse_command_line
from ocr_model.image import ImageGeometry, resize_image

PAGE = (3500, 2500)
GEOMETRY = ImageGeometry(width=256, fit="pad")
TIGHT = RectifyConfig(margin=0)


class SpeedConfig(Config):
    """What is measured."""

    num_words: PositiveInt = 2000
    heights: tuple[PositiveInt, ...] = (14, 40, 90)
    """Of the words, in pixels of the page."""
    turns: tuple[float, ...] = (0, 1, 20, 90)
    """Degrees by which they are turned."""
    rounds: PositiveInt = 3


def main() -> None:
    """Print one JSON object per height and turn."""
    config = parse_command_line(SpeedConfig, "Measure cutting words out of a page.")
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    page = cv2.GaussianBlur(rng.integers(0, 256, (*PAGE, 3)).astype(np.uint8), (0, 0), 1.5)
    for height in config.heights:
        for degrees in config.turns:
            quads = _quads(config.num_words, height, degrees, rng)
            print(json.dumps({"height": height, "turn": degrees, **_measure(page, quads, config)}))


def _measure(page: np.ndarray, quads: np.ndarray, config: SpeedConfig) -> dict[str, float]:
    crops = rectify(page, quads, GEOMETRY, TIGHT)
    widths = [crop.shape[1] for crop in crops]
    ways: dict[str, Callable[[], list[np.ndarray]]] = {
        "ours": lambda: rectify(page, quads, GEOMETRY, TIGHT),
        "naive": lambda: [_naive(page, *word) for word in zip(quads, widths, strict=True)],
    }
    seconds = dict.fromkeys(ways, float("inf"))
    for _ in range(config.rounds):
        for name, way in ways.items():
            began = time.process_time()
            way()
            seconds[name] = min(seconds[name], time.process_time() - began)
    warped = [_warped(page, quad, (width, 32)) for quad, width in zip(quads, widths, strict=True)]
    naive = ways["naive"]()
    return {
        **{f"{name}_per_second": round(len(quads) / value) for name, value in seconds.items()},
        "ratio": round(seconds["naive"] / seconds["ours"], 2),
        "difference": _difference(crops, naive),
        "warp_alone": _difference(warped, naive),
    }


def _naive(page: np.ndarray, quad: np.ndarray, width: int) -> np.ndarray:
    across, down = (round(float(np.linalg.norm(quad[i] - quad[0]))) for i in (1, 3))
    return resize_image(_warped(page, quad, (across, down)), GEOMETRY.height, width)


def _warped(page: np.ndarray, quad: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    right, bottom = size[0] - 0.5, size[1] - 0.5
    corners = np.array([[-0.5, -0.5], [right, -0.5], [right, bottom], [-0.5, bottom]], np.float32)
    homography = cv2.getPerspectiveTransform(quad - np.float32(0.5), corners)
    return cv2.warpPerspective(page, homography, size, borderMode=cv2.BORDER_REPLICATE)


def _difference(crops: list[np.ndarray], others: list[np.ndarray]) -> float:
    pairs = zip(crops, others, strict=True)
    return round(float(np.mean([np.abs(a.astype(int) - b).mean() for a, b in pairs])), 2)


def _quads(num_words: int, height: int, degrees: float, rng: np.random.Generator) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    widths = np.rint(height * rng.uniform(1, 7, num_words))
    box = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
    corners = box * np.stack([widths, np.full(num_words, height)], axis=1)[:, None]
    reach = 4 * height
    low, high = (reach, reach), (PAGE[1] - reach, PAGE[0] - reach)
    middles = np.rint(rng.uniform(low, high, (num_words, 2)))
    lefts = (corners @ turn + middles[:, None]).astype(np.float32)
    return lefts if degrees % 90 else np.rint(lefts)


if __name__ == "__main__":
    main()
