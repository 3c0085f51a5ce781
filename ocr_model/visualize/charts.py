"""Figures of a run or a dataset as charts; PNG bytes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from ocr_model.visualize.figures import RIGHT, WRONG, drawable, plain, png

_MOST_CHARACTERS = 96  # of a histogram


def draw_curves(history: Sequence[dict[str, float]]) -> bytes:
    """Draw losses, accuracies, error rates and the learning rate over the epochs."""
    panels: list[tuple[str, dict[str, str]]] = [
        ("loss", {"train/loss": "train", "validation/loss": "validation"}),
        (
            "accuracy",
            {
                "train/token_accuracy": "train, tokens (teacher forced)",
                "validation/token_accuracy": "validation, tokens",
                "validation/word_accuracy_exact": "validation, words",
                "validation/word_accuracy": "validation, words, 36 characters",
                "validation/precision": "validation, precision",
                "validation/recall": "validation, recall",
                "validation/hmean": "validation, H-mean",
            },
        ),
        ("error rate", {"validation/cer": "CER", "validation/wer": "WER"}),
        ("learning rate", {"train/learning_rate": "at the epoch's end"}),
    ]
    figure = Figure(figsize=(12, 7), layout="constrained")
    epochs = [entry["epoch"] for entry in history]
    for axes, (title, curves) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        for key, label in curves.items():
            if all(key in entry for entry in history):
                axes.plot(epochs, [entry[key] for entry in history], marker="o", label=label)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if axes.get_lines():
            axes.legend()
        else:  # detectors have no error rates
            axes.set_axis_off()
            axes.set_title("")
        if title in ("accuracy", "error rate"):
            axes.set_ylim(bottom=0)
    return png(figure)


def draw_label_statistics(subsets: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Draw how many rows of each subset were kept, and the lengths and characters of labels.

    A subset is what `SubsetReport.to_json` gives.
    """
    figure = Figure(figsize=(12, 7), layout="constrained")
    grid = figure.add_gridspec(2, 5)
    _draw_lengths(figure.add_subplot(grid[0, :3]), subsets)
    _draw_rows(figure.add_subplot(grid[0, 3:]), subsets)
    _draw_characters(figure.add_subplot(grid[1, :]), subsets)
    return png(figure)


def draw_progress(marks: Sequence[tuple[float, int]], title: str, *, most_bars: int = 60) -> bytes:
    """Draw how much was done per second over a run's time.

    Args:
        marks: Seconds since the run began, rising, and how much was done by then; at least one.
        title: Of what is counted, per second.
        most_bars: Stretches of time that are told apart.
    """
    times = np.array([0.0, *(seconds for seconds, _ in marks)])
    done = np.array([0, *(number for _, number in marks)])
    edges = np.linspace(0, times[-1], min(most_bars, len(times)) + 1)
    rates = np.diff(np.interp(edges, times, done)) / np.diff(edges)
    is_hours = times[-1] > 2 * 3_600
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.stairs(rates, edges / (3_600 if is_hours else 60), fill=True, color=RIGHT, alpha=0.7)
    axes.set(xlabel="hours" if is_hours else "minutes", ylabel=title, ylim=(0, None))
    axes.grid(alpha=0.3)
    return png(figure)


def _draw_lengths(axes: Axes, subsets: Mapping[str, Mapping[str, Any]]) -> None:
    width = 0.8 / len(subsets)
    for i, (name, subset) in enumerate(subsets.items()):
        lengths = np.array([int(length) for length in subset["lengths"]])
        shares = np.array(list(subset["lengths"].values())) / max(1, subset["kept"])
        offset = (i - (len(subsets) - 1) / 2) * width
        axes.bar(lengths + offset, 100 * shares, width, label=name)
    axes.set(title="length of labels", xlabel="characters", ylabel="% of labels")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", alpha=0.3)
    axes.legend()


def _draw_rows(axes: Axes, subsets: Mapping[str, Mapping[str, Any]]) -> None:
    bars = []
    for name, subset in subsets.items():
        bars.append((f"{name}: kept", subset["kept"], RIGHT))
        bars += [(f"{name}: {why}", n, WRONG) for why, n in subset["dropped"].items()]
    titles, counts, colours = zip(*bars, strict=True)
    drawn = axes.barh(titles, counts, color=colours, height=0.6)
    axes.bar_label(drawn, [f"{count:,}" for count in counts], padding=3)
    axes.set(title="rows", xlim=(0, 1.25 * max(counts)), ylim=(max(4.5, len(bars)) - 0.5, -0.5))
    axes.xaxis.set_visible(False)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _draw_characters(axes: Axes, subsets: Mapping[str, Mapping[str, Any]]) -> None:
    counts: dict[str, int] = {}
    for subset in subsets.values():
        for char, count in subset["characters"].items():
            counts[char] = counts.get(char, 0) + count
    common = sorted(counts, key=lambda char: -counts[char])[:_MOST_CHARACTERS]
    axes.bar(range(len(common)), [counts[char] for char in common], color="#4c72b0")
    names = [plain(drawable(char)).replace(" ", "␣") for char in common]
    axes.set_xticks(range(len(common)), names, fontsize=8 if len(common) > 60 else 9)
    axes.set(title=f"characters: {len(counts)} different", ylabel="occurrences")
    if len(counts) > len(common):
        axes.set_xlabel(f"the {len(common)} most frequent")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylim(bottom=0.7)  # one occurrence is seen
    axes.set_xlim(-0.8, len(common) - 0.2)
    axes.grid(axis="y", alpha=0.3)
