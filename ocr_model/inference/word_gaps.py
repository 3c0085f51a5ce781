"""Where in a picture of several words the gaps between them are."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, UInt8

from ocr_model.detection.rectify import Crop

Gap = tuple[float, float]
"""Where a gap begins and ends, as shares of the width."""

_INK_SHARE = 0.25  # of the strongest columns' contrast, from which on a column has ink
_PULL = 0.2  # what a gap's distance from where it is expected takes off its width


def find_gaps(crop: Crop, text: str) -> list[Gap]:
    """Return where the spaces of a text are in its picture, in their order.

    Of the stretches without ink those are taken that are widest and nearest to where the space
    would be if all characters were equally wide; where there are too few, that place itself.

    Args:
        crop: One line of text, upright, [height, width, 3], RGB.
        text: What it says; its spaces divide words.
    """
    places = [place for place, character in enumerate(text) if character.isspace()]
    expected = (np.array(places, np.float64) + 0.5) * crop.shape[1] / len(text)
    stretches = _blank_stretches(crop)
    if len(stretches) < len(places):
        return [(place / len(text), (place + 1) / len(text)) for place in places]
    chosen = stretches[_best_in_order(stretches, expected)] / crop.shape[1]
    return [(float(start), float(stop)) for start, stop in chosen]


def _blank_stretches(crop: UInt8[np.ndarray, "_ _ 3"]) -> Float64[np.ndarray, "stretches 2"]:
    """Return where columns without ink begin and end, apart from those at the picture's ends."""
    contrast = np.ptp(crop.mean(axis=2), axis=0)
    has_ink = contrast > _INK_SHARE * np.percentile(contrast, 90)
    inked = np.flatnonzero(has_ink)
    after = np.flatnonzero(np.diff(inked) > 1)
    return np.stack([inked[after] + 1, inked[after + 1]], axis=1).astype(np.float64)


def _best_in_order(
    stretches: Float64[np.ndarray, "stretches 2"], expected: Float64[np.ndarray, " spaces"]
) -> Sequence[int]:
    """Return the stretches, one for each space and ascending, whose worth is greatest together."""
    widths = stretches[:, 1] - stretches[:, 0]
    distances = np.abs(stretches.mean(axis=1)[:, None] - expected)
    worth = widths[:, None] - _PULL * distances
    best = np.zeros(len(stretches) + 1)
    chosen = list[list[int]]([[] for _ in best])
    for space in range(len(expected)):  # best[n]: of the spaces so far, in the first n stretches
        sums = np.full(len(best), -np.inf)
        ways = list[list[int]]([[] for _ in best])
        for stretch in range(space, len(stretches)):
            sums[stretch + 1], ways[stretch + 1] = sums[stretch], ways[stretch]
            taken = best[stretch] + worth[stretch, space]
            if taken > sums[stretch]:
                sums[stretch + 1], ways[stretch + 1] = taken, [*chosen[stretch], stretch]
        best, chosen = sums, ways
    return chosen[-1]
