"""How well words are put into reading order, against sorting them by (y, x), and how fast.

    uv run tests/benchmarks/reading_order.py --set forms=../shared/data/pages_funsd_train.parquet

A pair is two words of which one follows the other in the truth. `order` is the share of pairs that
follow each other in ours, `by_rows` the same of sorting by the middles, `line` the share of pairs
of which ours and the truth agree whether they stand in one line. Rendered pages know their truth;
they are levelled by the measured slope. FUNSD's annotation lists the words of each label or answer
in order: pairs are those listed one after the other that stand side by side or in rows below each
other. `down` counts the latter alone; cells with several rows, which we read across, are among
them.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow.parquet as pq
from pydantic import PositiveInt

from ocr_model.config import Config
from ocr_model.data.synthetic.pages import PageConfig, render_page
from ocr_model.detection.orientation import UprightFrame, measure_slope
from ocr_model.detection.reading_order import order_words
from ocr_model.entry_points import parse_command_line

Page = tuple[str, np.ndarray, list[tuple[int, int, bool]]]
"""Kind, upright quads, and pairs, with whether they stand in one line."""


class OrderConfig(Config):
    """What is measured."""

    forms: str | None = None
    """Parquet file of pages with regions listed as FUNSD's are."""
    num_pages: PositiveInt = 160
    """Rendered ones, of all kinds but scenes."""
    seed: int = 5


def main() -> None:
    """Print one JSON object per kind of page, and one of the times of 2,000 words."""
    config = parse_command_line(OrderConfig, "Measure reading order.")
    sums: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(5, int))
    pages = list(_rendered(config))
    pages += _annotated(config.forms) if config.forms else []
    for kind, quads, pairs in pages:
        lines = [line for block in order_words(quads) for line in block.lines]
        line_of = {word: number for number, line in enumerate(lines) for word in line}
        ours = _followers([word for line in lines for word in line])
        middles = quads.mean(axis=1)
        by_rows = _followers(np.lexsort(middles.T).tolist())
        for first, second, is_line in pairs:
            agrees = (line_of[first] == line_of[second]) == is_line
            counts = (1, ours.get(first) == second, by_rows.get(first) == second, agrees, 0)
            sums[kind] += counts
            if kind == "funsd" and not is_line:
                sums["funsd down"] += counts
        sums[kind][4] += 1
    for kind, (num_pairs, *right, num_pages) in sums.items():
        names = ("order", "by_rows", "line")
        shares = {
            name: round(float(n / num_pairs), 4) for name, n in zip(names, right, strict=True)
        }
        counts = {"pages": int(num_pages), "pairs": int(num_pairs)}
        print(json.dumps({"kind": kind, **counts, **shares}))
    print(json.dumps(_milliseconds(pages)))


def _followers(order: list[int]) -> dict[int, int]:
    return dict(pairwise(order))


def _rendered(config: OrderConfig) -> Iterator[Page]:
    pages = PageConfig.model_validate({"kinds": {"scene": 0}})
    for number in range(config.num_pages):
        page = render_page(pages, config.seed, number, is_validation=True)
        quads = np.array([word.quad for word in page.words], np.float32).reshape(-1, 4, 2)
        frame = UprightFrame(0, measure_slope(quads).skew, *page.pixels.shape[:2])
        lines = [word.line for word in page.words]
        pairs = [(i, i + 1, lines[i] == lines[i + 1]) for i in range(len(lines) - 1)]
        yield page.kind, frame.from_image(quads), pairs


def _annotated(path: str) -> Iterator[Page]:
    for regions in pq.read_table(path, columns=["regions"])["regions"].to_pylist():
        polygons = [region["polygon"] for region in json.loads(regions)]
        quads = np.array(polygons, np.float32).reshape(-1, 4, 2)
        near = [(i, i + 1, _nearness(quads[i], quads[i + 1])) for i in range(len(quads) - 1)]
        yield "funsd", quads, [(i, j, how == "beside") for i, j, how in near if how]


def _nearness(first: np.ndarray, second: np.ndarray) -> str:
    height = max(np.ptp(first[:, 1]), np.ptp(second[:, 1]))
    down = second[:, 1].mean() - first[:, 1].mean()
    gap = second[:, 0].min() - first[:, 0].max()
    if abs(down) < height / 2:
        return "beside" if -height / 2 < gap < 2 * height else ""
    return "below" if down < 2.2 * height and down > 0 and gap <= 0 else ""


def _milliseconds(pages: list[Page]) -> dict[str, float]:
    """Time 2,000 words: the longest page over and over, below itself, and one table."""
    longest = max((quads for kind, quads, _ in pages if kind == "paragraph"), key=len)
    copies = [longest + np.float32([0, 1500 * copy]) for copy in range(2000 // len(longest) + 1)]
    y, x = np.mgrid[:100, :20].reshape(2, -1, 1) * np.array([[[30]], [[100]]])
    corners = np.array([[0, 0], [60, 0], [60, 18], [0, 18]])
    table = np.stack([x + corners[:, 0], y + corners[:, 1]], axis=-1)
    best = {}
    for name, quads in (("text", np.concatenate(copies)[:2000]), ("table", table)):
        times = []
        for _ in range(5):
            began = time.process_time()
            order_words(quads.astype(np.float32))
            times.append(time.process_time() - began)
        best[f"{name}_milliseconds"] = round(min(times) * 1e3, 1)
    return best


if __name__ == "__main__":
    main()
