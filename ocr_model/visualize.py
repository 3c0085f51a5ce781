"""Pictures: curves, sample sheets, attention over the image. All return PNG bytes.

Figures are built without pyplot, so nothing global is touched and threads do not meet.
"""

import io
import textwrap
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.figure import Figure

Pixels = UInt8[np.ndarray, "height width 3"]
Heatmap = Float[np.ndarray, "map_height map_width"]

_RIGHT, _WRONG = "#1a7f37", "#c4320a"


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
    images: Sequence[Sequence[UInt8[np.ndarray, "_height _width 3"]]],
    titles: Sequence[str],
) -> bytes:
    """Draw a row per label: the label, then its images of any sizes under `titles`."""
    widths = [1.5, *[2.2] * len(titles)]
    figure = Figure(figsize=(sum(widths), 0.3 + 0.75 * len(labels)), layout="constrained")
    grid = figure.subplots(len(labels), len(widths), squeeze=False, width_ratios=widths)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, title in zip(grid[0, 1:], titles, strict=True):
        axes.set_title(title, fontsize=9)
    for row, label, versions in zip(grid, labels, images, strict=True):
        lines = [textwrap.fill(line, 20) for line in label.split("\n")]
        row[0].text(0.95, 0.5, _plain("\n".join(lines)), ha="right", va="center", fontsize=9)
        for axes, image in zip(row[1:], versions, strict=False):
            axes.imshow(image)
    return _png(figure)


def draw_attention(
    image: Pixels, text: str, weights: Float[np.ndarray, "layers heads chars map_height map_width"]
) -> bytes:
    """Draw where a decoder looked.

    The first row shows the image and the weights over all characters: their mean and their sum
    over heads and layers. Then follows one heatmap per character, the mean over heads and layers.
    """
    per_char = weights.mean((0, 1))
    panels: list[tuple[str, Heatmap | None]] = [("image", None)]
    if len(per_char):
        panels += [("mean", per_char.mean(0)), ("sum", weights.sum((0, 1, 2)))]
    panels += [(_plain(char), heat) for char, heat in zip(text, per_char, strict=True)]
    columns = 3
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.4 * columns, 1.25 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (title, heat) in zip(grid.flat, panels, strict=False):
        axes.imshow(image if heat is None else overlay_heatmap(image, heat), aspect="auto")
        scale = "" if heat is None or title not in ("mean", "sum") else f" (max {heat.max():.2f})"
        axes.set_title(f"{title}{scale}", fontsize=10)
    return _png(figure)


def overlay_heatmap(image: Pixels, heat: Heatmap) -> Pixels:
    """Lay a heatmap, scaled to its largest value, over an image of any size."""
    height, width = image.shape[:2]
    large = cv2.resize(heat.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    level = np.clip(large / max(float(heat.max()), 1e-9), 0, 1)
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
