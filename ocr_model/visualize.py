"""Pictures: curves, sample sheets, attention over the image. All return PNG bytes.

Figures are built without pyplot, so nothing global is touched and threads do not meet.
"""

import io
import textwrap
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Polygon
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

Pixels = UInt8[np.ndarray, "height width 3"]
AnyPixels = UInt8[np.ndarray, "_height _width 3"]
"""Of a picture among others of other sizes."""
Heatmap = Float[np.ndarray, "map_height map_width"]

_RIGHT, _WRONG = "#1a7f37", "#c4320a"
_CHAR_COLOURS = ("#e6194b", "#4363d8")  # of neighbouring characters
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
    return _png(figure)


def draw_samples(
    images: Sequence[Pixels],
    truths: Sequence[str],
    readings: Sequence[str],
    confidences: Sequence[float],
    *,
    columns: int = 4,
) -> bytes:
    """Draw word images, each with its truth, its reading and the confidence in percent."""
    rows = max(1, -(-len(images) // columns))
    figure = Figure(figsize=(3.1 * columns, 1.15 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, truth, reading, confidence in zip(
        grid.flat, images, truths, readings, confidences, strict=False
    ):
        is_right = truth == reading
        axes.imshow(image, aspect="auto")
        title = f"{_plain(reading)}  {confidence:.0%}"
        if not is_right:
            title = f"{_plain(truth)} → {title}"
        axes.set_title(title, fontsize=9, color=_RIGHT if is_right else _WRONG)
    return _png(figure)


def draw_versions(
    labels: Sequence[str],
    images: Sequence[Sequence[AnyPixels]],
    *,
    errors: Sequence[str],
    titles: Sequence[str],
) -> bytes:
    """Draw a row per label: the label, then its images, of any sizes, or its error."""
    widths = [1.5, *[2.2] * len(titles)]
    figure = Figure(figsize=(sum(widths), 0.3 + 0.75 * len(labels)), layout="constrained")
    grid = figure.subplots(len(labels), len(widths), squeeze=False, width_ratios=widths)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, title in zip(grid[0, 1:], titles, strict=True):
        axes.set_title(title, fontsize=9)
    for row, label, versions, error in zip(grid, labels, images, errors, strict=True):
        colour = _WRONG if error else "black"
        text = _plain(textwrap.fill(_drawable(label), 20))
        row[0].text(0.95, 0.5, text, ha="right", va="center", fontsize=9, color=colour)
        if error:
            row[1].text(0.0, 0.5, _plain(error), va="center", fontsize=9, color=colour)
        for axes, image in zip(row[1:], versions, strict=False):
            axes.imshow(image)
    return _png(figure)


def draw_contact_sheet(
    images: Sequence[AnyPixels],
    labels: Sequence[str],
    quads: Sequence[Float[np.ndarray, "_chars 4 2"] | None],
    *,
    columns: int = 8,
) -> bytes:
    """Draw word images in their own proportions, each under its label.

    Args:
        images: Of any sizes.
        labels: One each.
        quads: Corners (x, y) of each character, where they are to be outlined.
        columns: Images side by side.
    """
    rows = max(1, -(-len(images) // columns))
    figure = Figure(
        figsize=(1.6 * columns, 0.75 * rows), layout=ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.03)
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, label, places in zip(grid.flat, images, labels, quads, strict=False):
        height, width = image.shape[:2]
        axes.imshow(image, interpolation="bilinear")
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        for i, place in enumerate(() if places is None else places):
            colour = _CHAR_COLOURS[i % len(_CHAR_COLOURS)]
            axes.add_patch(Polygon(place, fill=False, edgecolor=colour, linewidth=0.9))
        axes.set_title(_plain(_shortened(_drawable(label), 24)), fontsize=7.5, pad=2)
    return _png(figure)


def draw_label_statistics(subsets: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Draw how many rows of each subset were kept, and the lengths and characters of labels.

    A subset is what `SubsetReport.to_json` gives.
    """
    figure = Figure(figsize=(12, 7), layout="constrained")
    grid = figure.add_gridspec(2, 5)
    _draw_lengths(figure.add_subplot(grid[0, :3]), subsets)
    _draw_rows(figure.add_subplot(grid[0, 3:]), subsets)
    _draw_characters(figure.add_subplot(grid[1, :]), subsets)
    return _png(figure)


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
        bars.append((f"{name}: kept", subset["kept"], _RIGHT))
        bars += [(f"{name}: {why}", n, _WRONG) for why, n in subset["dropped"].items()]
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
    names = [_plain(_drawable(char)).replace(" ", "␣") for char in common]
    axes.set_xticks(range(len(common)), names, fontsize=8 if len(common) > 60 else 9)
    axes.set(title=f"characters: {len(counts)} different", ylabel="occurrences")
    if len(counts) > len(common):
        axes.set_xlabel(f"the {len(common)} most frequent")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylim(bottom=0.7)  # one occurrence is seen
    axes.set_xlim(-0.8, len(common) - 0.2)
    axes.grid(axis="y", alpha=0.3)


def draw_attention(
    image: Pixels, text: str, per_char: Float[np.ndarray, "chars map_height map_width"]
) -> bytes:
    """Draw where a decoder looked: the image, the mean and the sum of all maps, each map.

    The mean and each character's map are scaled to their largest value; the sum is not: it shows
    how much attention a place got, half of what one character has to give being the brightest.
    """
    panels: list[tuple[str, Pixels]] = [("image", image)]
    if len(per_char):
        mean, total = per_char.mean(0), per_char.sum(0)
        panels.append((f"mean (at most {mean.max():.2f})", overlay_heatmap(image, mean)))
        panels.append((f"sum (at most {total.max():.2f})", overlay_heatmap(image, total, full=0.5)))
    for char, heat in zip(text, per_char, strict=True):
        panels.append((_plain(char), overlay_heatmap(image, heat)))
    columns = 3
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.4 * columns, 1.25 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (title, picture) in zip(grid.flat, panels, strict=False):
        axes.imshow(picture, aspect="auto")
        axes.set_title(title, fontsize=10)
    return _png(figure)


def draw_frames(
    image: Pixels,
    frames: Float[np.ndarray, "time rows"],
    names: Sequence[str],
    *,
    columns_used: float,
) -> bytes:
    """Draw what the columns of a CTC model hold, under the image.

    Args:
        image: The word.
        frames: Probability by column, of each class that is shown.
        names: Of these classes.
        columns_used: Columns that the image fills.
    """
    figure = Figure(figsize=(8, 1.6 + 0.24 * len(names)), layout="constrained")
    heights = [1.2, max(0.8, 0.24 * len(names))]
    upper, lower = figure.subplots(2, 1, height_ratios=heights)
    upper.imshow(image, aspect="auto")
    upper.set_axis_off()
    lower.imshow(frames.T, aspect="auto", cmap="inferno", vmin=0, vmax=1, interpolation="nearest")
    lower.set_xlim(-0.5, columns_used - 0.5)
    lower.set_yticks(range(len(names)), [_plain(_drawable(name)) for name in names])
    lower.set_xlabel("column")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    return _png(figure)


def overlay_heatmap(image: Pixels, heat: Heatmap, *, full: float | None = None) -> Pixels:
    """Lay a heatmap over an image of any size; `full` is the brightest value, or its largest."""
    height, width = image.shape[:2]
    large = cv2.resize(heat.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    level = np.clip(large / max(float(heat.max()) if full is None else full, 1e-9), 0, 1)
    coloured = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    opacity = 0.8 * level[..., None]  # the image stays visible where the heat is low
    blended: np.ndarray = grey * (1 - opacity) + cv2.cvtColor(coloured, cv2.COLOR_BGR2RGB) * opacity
    return blended.astype(np.uint8)


def overlay_quads(
    image: Pixels,
    quads: Float[np.ndarray, "quads 4 2"],
    *,
    colour: tuple[int, int, int] = (220, 40, 30),
) -> Pixels:
    """Draw quads over an image; the edge from the upper left to the upper right is thicker."""
    drawn = image.copy()
    corners = (quads * 16).round().astype(np.int32)  # in sixteenths of a pixel
    for quad in corners:
        cv2.polylines(drawn, [quad], True, colour, 1, cv2.LINE_AA, 4)
        cv2.polylines(drawn, [quad[:2]], False, colour, 2, cv2.LINE_AA, 4)
    return drawn


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _plain(text: str) -> str:
    """Make text safe for matplotlib, which reads dollar signs as mathematics."""
    return text.replace("$", r"\$") if text else "∅"


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _drawable(text: str) -> str:
    """Replace what matplotlib's font has no glyph for; it would warn of each."""
    return "".join(char if ord(char) in _known_glyphs() else "□" for char in text)


@lru_cache(maxsize=1)
def _known_glyphs() -> frozenset[int]:
    path = font_manager.findfont(font_manager.FontProperties())
    return frozenset(font_manager.get_font(path).get_charmap())
