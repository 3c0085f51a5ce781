"""Draw the pictures of docs/attention.md beside this file, and those of times from its figures.

uv run tests/benchmarks/attention_variants.py > docs/figures/attention_variants.jsonl
uv run docs/figures/attention_figures.py
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FuncFormatter, NullLocator
from PIL import Image

from ocr_model.charset import EOS
from ocr_model.decoding.autoregressive import decode_greedily

FOLDER = Path(__file__).parent
KINDS = {  # name of the benchmark, colour (told apart by most eyes), marker, name in the pictures
    "plain": ("#555555", "o", "plain, multi-head"),
    "fused": ("#0072b2", "s", "fused, multi-head"),
    "grouped": ("#e69f00", "^", "fused, grouped: 2 key heads"),
    "multi-query": ("#d55e00", "v", "fused, multi-query"),
    "local": ("#009e73", "D", "local: 128 keys"),
    "linear": ("#cc79a7", "X", "linear"),
}
SEEN, UNSEEN, SKIPPED = "#4c8fbd", "#f1f1ee", "#c9c9c4"
KEY_COLOURS = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#d55e00",
    "#56b4e9",
    "#8a6fb0",
    "#777777",
)


def draw_masks() -> Figure:
    """Draw who sees whom: everything, what came before, the last few, an image."""
    size, window, num_tokens, num_padding = 12, 4, 16, 5
    rows, columns = np.indices((size, size))
    is_before = columns <= rows
    to_image = np.zeros((size, num_tokens))
    to_image[:, : num_tokens - num_padding] = 1
    panels = [
        ("full", np.ones((size, size)), "key", f"{size}² scores"),
        ("causal", is_before, "key", "about half of them"),
        ("local", is_before & (columns > rows - window), "key", f"at most {window} per query"),
        ("to an image", to_image, "image token", "padding is masked"),
    ]
    figure = Figure(figsize=(10, 2.9), layout="constrained")
    widths = [mask.shape[1] for _, mask, _, _ in panels]
    grid = figure.subplots(1, len(panels), width_ratios=widths)
    for axes, (title, mask, name, note) in zip(grid, panels, strict=True):
        _draw_cells(axes, mask, ListedColormap([UNSEEN, SEEN]))
        axes.set(title=f"{title}: {note}", xlabel=f"{name} →", ylabel="query →")
        axes.title.set_fontsize(9.5)
    return figure


def draw_heads() -> Figure:
    """Draw which query heads share keys and values."""
    num_heads = 8
    kinds = [("multi-head", 8), ("grouped-query", 2), ("multi-query", 1)]
    figure = Figure(figsize=(10, 2.3), layout="constrained")
    for axes, (name, num_kv_heads) in zip(figure.subplots(1, 3), kinds, strict=True):
        shares = num_heads // num_kv_heads
        for head in range(num_heads):
            owner = head // shares
            colour = KEY_COLOURS[owner * (num_heads // num_kv_heads) % len(KEY_COLOURS)]
            place = owner * shares + (shares - 1) / 2
            axes.plot([head, place], [0.8, 0.2], color=colour, linewidth=1.2, zorder=0)
            axes.add_patch(Rectangle((head - 0.36, 0.8), 0.72, 0.36, color=colour, alpha=0.45))
            axes.text(head, 0.98, f"Q{head + 1}", ha="center", va="center", fontsize=8)
            if head % shares == 0:
                axes.add_patch(Rectangle((place - 0.36, -0.3), 0.72, 0.5, color=colour))
                label = f"K{owner + 1}\nV{owner + 1}"
                axes.text(
                    place, -0.06, label, ha="center", va="center", fontsize=7.5, color="white"
                )
        axes.set(xlim=(-0.6, num_heads - 0.4), ylim=(-0.32, 1.2))
        pairs = f"{num_kv_heads} pairs" if num_kv_heads > 1 else "one pair"
        axes.set_title(f"{name}: {pairs} of keys and values", fontsize=10)
        axes.set_axis_off()
    return figure


def draw_tiles() -> Figure:
    """Draw which scores lie in memory: all of them, one tile, one tile of a band, chunks."""
    blocks, tile = 6, 4
    rows, columns = np.indices((blocks * tile, blocks * tile)) // tile
    is_before = columns <= rows
    panels: list[tuple[str, np.ndarray, tuple[int, int] | None]] = [
        ("plain: all scores are written", np.ones_like(rows), None),
        ("fused: a tile at a time", 2 * is_before, (2, 4)),
        ("local: its own block, the one before", 2 * (is_before & (columns >= rows - 1)), (3, 4)),
        ("linear: its own chunk, then a sum", columns == rows, None),
    ]
    figure = Figure(figsize=(10, 3.0), layout="constrained")
    for axes, (title, cells, current) in zip(figure.subplots(1, 4), panels, strict=True):
        _draw_cells(axes, cells, ListedColormap([UNSEEN, SEEN, "#bcd7e8"]), line_every=tile)
        if current is not None:
            column, row = (place * tile - 0.5 for place in current)
            axes.add_patch(Rectangle((column, row), tile, tile, color=SEEN))
        axes.set(xlabel="key →", ylabel="query →")
        axes.set_title(title, fontsize=9)
    names = {
        "in memory at once": SEEN,
        "passed over, never stored": "#bcd7e8",
        "not computed": UNSEEN,
    }
    _add_key(figure, names)
    return figure


def draw_rows() -> Figure:
    """Draw which rows of a batch our decoder computes in which step, by running its loop."""
    lengths = [12, 9, 8, 6, 6, 5, 4, 2]
    writer = _Ending(torch.tensor(lengths))
    decode_greedily(writer, batch_size=8, max_chars=14, device=torch.device("cpu"))
    cells = np.zeros((len(lengths), len(writer.computed)))
    for position, rows in enumerate(writer.computed):
        for row in rows:
            cells[row, position] = 1 if position <= lengths[row] else 2
    figure = Figure(figsize=(6.4, 3.3), layout="constrained")
    axes = figure.subplots()
    _draw_cells(axes, cells, ListedColormap([UNSEEN, SEEN, "#e69f00"]))
    axes.set(xlabel="step", ylabel="row of the batch")
    steps = range(cells.shape[1])
    axes.set_xticks(steps, [str(step + 1) for step in steps], fontsize=8)
    axes.set_yticks(range(8), [f"{length} characters" for length in lengths], fontsize=8)
    names = {
        "writes (its end included)": SEEN,
        "computed in vain": "#e69f00",
        "not computed": UNSEEN,
    }
    _add_key(figure, names)
    return figure


def _add_key(figure: Figure, names: dict[str, str]) -> None:
    handles = [Patch(facecolor=c, edgecolor=SKIPPED, label=name) for name, c in names.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9, frameon=False)


class _Ending:
    """Writes class 5 until a row's length is reached, and keeps which rows it was asked for."""

    def __init__(self, lengths: torch.Tensor) -> None:
        self.lengths, self.rows = lengths, torch.arange(len(lengths))
        self.computed: list[list[int]] = []

    def step(self, newest: torch.Tensor, position: int) -> tuple[torch.Tensor, None]:
        self.computed.append(self.rows.tolist())
        logits = torch.zeros(len(newest), 8)
        logits[:, 5] = 9
        logits[self.lengths[self.rows] == position, EOS] = 99
        return logits, None

    def select(self, rows: torch.Tensor) -> None:
        self.rows = self.rows[rows]


def draw_caches(figures: list[dict[str, Any]]) -> Figure:
    """Draw bytes against length: what is kept between steps, what the whole takes at its peak."""
    figure = Figure(figsize=(10, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_lines(left, figures, "cache_bytes", skipped=("fused",))
    left.set(title="cache of one layer while writing", ylabel="bytes")
    _draw_lines(right, figures, "whole_peak_bytes", skipped=("grouped", "multi-query"))
    right.set(title="peak beside the inputs, whole sequence")
    for axes, largest in ((left, 24), (right, 30)):
        axes.yaxis.set_major_formatter(FuncFormatter(_as_bytes))
        axes.set_yticks([2.0**power for power in range(15, largest + 1, 3)])
        axes.yaxis.set_minor_locator(NullLocator())
    return figure


def draw_times(figures: list[dict[str, Any]]) -> Figure:
    """Draw time against length: the whole sequence, and one step."""
    figure = Figure(figsize=(10, 3.7), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_lines(left, figures, "whole_milliseconds", skipped=("grouped", "multi-query"))
    left.set(title="whole sequence", ylabel="milliseconds")
    _draw_lines(right, figures, "step_microseconds")
    right.set(title="one step with a cache", ylabel="microseconds")
    for axes in (left, right):
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    right.set_yticks([10, 20, 50, 100, 200, 500])
    return figure


def _draw_lines(
    axes: Axes, figures: list[dict[str, Any]], what: str, *, skipped: tuple[str, ...] = ()
) -> None:
    lengths: list[float] = []
    for kind, (colour, marker, name) in KINDS.items():
        if kind in skipped:
            continue
        lines = [line for line in figures if line["kind"] == kind]
        lengths = [line["length"] for line in lines]
        label = "multi-head, plain or fused" if (kind, what) == ("plain", "cache_bytes") else name
        if kind == "fused" and skipped:
            label = "fused, any number of key heads"
        axes.loglog(
            lengths, [line[what] for line in lines], color=colour, marker=marker, label=label
        )
    axes.set_xlabel("length")
    axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8.5)


def _draw_cells(
    axes: Axes, cells: np.ndarray, colours: ListedColormap, *, line_every: int = 1
) -> None:
    axes.imshow(cells, cmap=colours, vmin=0, vmax=colours.N - 1)
    height, width = cells.shape
    for i in range(0, height + 1, line_every):
        axes.axhline(i - 0.5, color="white", linewidth=1)
    for i in range(0, width + 1, line_every):
        axes.axvline(i - 0.5, color="white", linewidth=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _as_bytes(value: float, _position: int | None = None) -> str:
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:g} {unit}"
        value /= 1024
    return f"{value:g} GiB"


def main() -> None:
    """Write PNGs beside this file."""
    lines = (FOLDER / "attention_variants.jsonl").read_text(encoding="utf-8").splitlines()
    figures = [json.loads(line) for line in lines]
    pictures = {
        "masks": draw_masks(),
        "heads": draw_heads(),
        "tiles": draw_tiles(),
        "rows": draw_rows(),
        "caches": draw_caches(figures),
        "times": draw_times(figures),
    }
    for name, figure in pictures.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
        picture = Image.open(buffer).convert("RGB").quantize(64, dither=Image.Dither.NONE)
        picture.save(FOLDER / f"attention_{name}.png", optimize=True)  # a third of the bytes


if __name__ == "__main__":
    main()
