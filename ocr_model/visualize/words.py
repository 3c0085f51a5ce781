"""Sheets of words: images beside what they say or were read as; PNG bytes."""

import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Polygon

from ocr_model.visualize.figures import (
    RIGHT,
    WRONG,
    AnyPixels,
    Pixels,
    drawable,
    plain,
    png,
)

_CHAR_COLOURS = ("#e6194b", "#4363d8")  # of neighbouring characters


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
        title = f"{plain(reading)}  {confidence:.0%}"
        if not is_right:
            title = f"{plain(truth)} → {title}"
        axes.set_title(title, fontsize=9, color=RIGHT if is_right else WRONG)
    return png(figure)


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
        colour = WRONG if error else "black"
        text = plain(textwrap.fill(drawable(label), 20))
        row[0].text(0.95, 0.5, text, ha="right", va="center", fontsize=9, color=colour)
        if error:
            row[1].text(0.0, 0.5, plain(error), va="center", fontsize=9, color=colour)
        for axes, image in zip(row[1:], versions, strict=False):
            axes.imshow(image)
    return png(figure)


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
        axes.set_title(plain(_shortened(drawable(label), 24)), fontsize=7.5, pad=2)
    return png(figure)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
