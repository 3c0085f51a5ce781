"""How well boxes are found: counts of one-to-one matches, which add up over pages and workers.

Source: ICDAR 2015's protocol for incidental text (Karatzas et al. 2015, 3.A): a box is found where
its intersection with a found one is more than half of their union, one to one; what is found where
nobody could read counts neither for nor against. We match greedily from the largest IoU on, the
protocol in the order of the truth.
"""

from dataclasses import astuple, dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from ocr_model.detection.quads import areas_of, intersections, over_unions

Quads = Float32[np.ndarray, "_quads 4 2"]

LEAST_IOU = 0.5
_IGNORED_SHARE = 0.5
"""Share of a found box that lies in what nobody could read, above which it is not counted."""


@dataclass(frozen=True)
class DetectionCounts:
    """Boxes of one or more pages."""

    num_truths: float = 0.0
    num_found: float = 0.0
    num_matches: float = 0.0

    def __add__(self, other: "DetectionCounts") -> "DetectionCounts":
        """Add up."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return DetectionCounts(*(a + b for a, b in pairs))

    def to_array(self) -> Float[np.ndarray, " fields"]:
        """Return all counts, to be summed over workers."""
        return np.array(astuple(self))

    def summary(self) -> dict[str, float]:
        """Return precision, recall, and their harmonic mean, in [0, 1]; 0 of nothing."""
        total = self.num_found + self.num_truths
        return {
            "precision": self.num_matches / self.num_found if self.num_found else 0.0,
            "recall": self.num_matches / self.num_truths if self.num_truths else 0.0,
            "hmean": 2 * self.num_matches / total if total else 0.0,
        }


def count_detections(
    truths: Quads, found: Quads, is_ignored: Bool[np.ndarray, " truths"]
) -> DetectionCounts:
    """Compare the boxes of one page.

    Args:
        truths: Convex quads.
        found: Convex quads.
        is_ignored: True for truths that need not be found.
    """
    overlaps = intersections(truths, found)
    areas_truth, areas_found = areas_of(truths), areas_of(found)
    in_ignored = overlaps[is_ignored].max(axis=0, initial=0)
    is_counted = in_ignored <= _IGNORED_SHARE * areas_found
    ious = over_unions(overlaps, areas_truth, areas_found)[~is_ignored][:, is_counted]
    return DetectionCounts(
        float((~is_ignored).sum()), float(is_counted.sum()), float(_num_matches(ious))
    )


def _num_matches(ious: Float[np.ndarray, "truths found"]) -> int:
    rows, columns = np.nonzero(ious > LEAST_IOU)
    order = np.argsort(-ious[rows, columns], kind="stable")
    taken_rows, taken_columns = set[int](), set[int]()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in taken_rows and column not in taken_columns:
            taken_rows.add(row)
            taken_columns.add(column)
    return len(taken_rows)
