"""Where a model looked, and what its columns hold; PNG bytes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ocr_model.visualize.figures import Pixels, drawable, plain, png
from ocr_model.visualize.overlays import overlay_heatmap


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
        panels.append((plain(char), overlay_heatmap(image, heat)))
    columns = 3
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(3.4 * columns, 1.25 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (title, picture) in zip(grid.flat, panels, strict=False):
        axes.imshow(picture, aspect="auto")
        axes.set_title(title, fontsize=10)
    return png(figure)


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
    lower.set_yticks(range(len(names)), [plain(drawable(name)) for name in names])
    lower.set_xlabel("column")
    lower.xaxis.set_major_locator(MaxNLocator(integer=True))
    return png(figure)
