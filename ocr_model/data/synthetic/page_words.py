"""Words of a page: what they say and where they are."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

Quad = Float32[np.ndarray, "4 2"]
"""Corners (x, y), clockwise from the upper left of the text, in pixels of the picture."""


@dataclass(frozen=True)
class PageWord:
    """One word; all of its ink is in the picture."""

    text: str
    quad: Quad
    char_quads: Float32[np.ndarray, "chars 4 2"]
    """Of the ink of each character, corners as in `quad`."""
    line: int
    """Words of one number stand in one row; numbers rise in reading order."""
    block: int
    """Of lines that are read together: a paragraph, a field, a table, a sign."""


def is_inside(quads: Float32[np.ndarray, "chars 4 2"], height: int, width: int) -> bool:
    """Say whether all quads are inside of a picture, from edge to edge."""
    return bool((quads >= 0).all() and (quads <= (width, height)).all())
