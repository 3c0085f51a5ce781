"""What all figures share: their colours, their text, and how they become PNG bytes.

Figures are built without pyplot, so nothing global is touched and threads do not meet.
"""

import io
from functools import lru_cache

import numpy as np
from jaxtyping import UInt8
from matplotlib import font_manager
from matplotlib.figure import Figure

Pixels = UInt8[np.ndarray, "height width 3"]
AnyPixels = UInt8[np.ndarray, "_height _width 3"]
"""Of a picture among others of other sizes."""

RIGHT, WRONG = "#1a7f37", "#c4320a"


def png(figure: Figure) -> bytes:
    """Return a figure as a file, 110 pixels to its inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def plain(text: str) -> str:
    """Make text safe for matplotlib, which reads dollar signs as mathematics."""
    return text.replace("$", r"\$") if text else "∅"


def drawable(text: str) -> str:
    """Replace what matplotlib's font has no glyph for; it would warn of each."""
    return "".join(char if ord(char) in _known_glyphs() else "□" for char in text)


@lru_cache(maxsize=1)
def _known_glyphs() -> frozenset[int]:
    path = font_manager.findfont(font_manager.FontProperties())
    return frozenset(font_manager.get_font(path).get_charmap())
