"""How a page lies: the slope of its lines, and which of its four sides is up.

Geometry gives the slope and the axis of the lines; which way along it they are read, only reading
can tell. The caller reads the words that `choose_probes` names in the turns of `candidate_turns`,
and `decide_rotation` weighs the readings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp

import numpy as np

from ocr_model.detection.maps import Quads
from ocr_model.detection.quads import PerQuad, directions, side_lengths, weighted_median

_AGREEING = 2.0  # degrees: words so near the common slope support it
_NEAR = 10.0  # degrees: others have no say in it
_FEW = 3.0  # words for half the confidence
_CLEAR_AXIS = 0.5  # confidence from which the other axis need not be tried
_LONGEST_PROBE = 8.0  # heights; a longer one tells no more
_TALLEST_PROBE = 24.0  # pixels; the same
_NOISE = 0.05  # squared characters: readings never agree better than that
# What a standard error's lead is worth: with each of two small recognisers on 105 images of FUNSD,
# SROIE and SVT, leads of 0.3 to 0.6 were right in 69 % (of four turns: 57 %), 1 to 1.5 in 92 %
# (77 %), 2 to 3 in 100 % (86 %).
_WORTH = 2.3
_VERTICAL = 1.5  # height by width from which a quad may hold a line turned on its side
_LETTER = 1.4  # common heights of words up to which a narrow one is a letter
_NUM_COMMON = 3  # words that say what height is common


@dataclass(frozen=True)
class LineSlope:
    """How the lines of a page run."""

    skew: float
    """Degrees, clockwise, in [-45, 45), off the nearest axis of the image."""
    confidence: float
    """Of the skew, in [0, 1]: near 1 if many words agree within 2 degrees."""
    is_vertical: bool
    """Whether lines run along the columns of the image rather than its rows."""
    axis_confidence: float
    """Of the axis, in [0, 1]."""


@dataclass(frozen=True)
class Rotation:
    """Which way is up."""

    degrees: int
    """0, 90, 180 or 270: by which the image must be turned clockwise to stand upright."""
    confidence: float
    """In [0, 1]; 0 where nothing was tried."""


@dataclass(frozen=True)
class UprightFrame:
    """Coordinates on the page turned upright, its lines level; and the way back."""

    rotation: int
    """Degrees clockwise, 0, 90, 180 or 270, by which the image is turned."""
    skew: float
    """Degrees clockwise by which lines are off the horizontal after that turn."""
    height: int
    width: int
    """Of the image, in pixels, before it is turned."""

    def from_image(self, quads: Quads) -> Quads:
        """Move corners to the upright page; each keeps its place among its quad's."""
        x, y = quads[..., 0].astype(np.float64), quads[..., 1].astype(np.float64)
        for _ in range(self.rotation // 90):
            x, y = -y, x
        across, down = self._shift
        return self._turn(np.stack([x + across, y + down], axis=-1), -self.skew)

    def to_image(self, quads: Quads) -> Quads:
        """Move corners back to the image."""
        levelled = self._turn(quads.astype(np.float64), self.skew).astype(np.float64)
        across, down = self._shift
        x, y = levelled[..., 0] - across, levelled[..., 1] - down
        for _ in range(self.rotation // 90):
            x, y = y, -x
        return np.stack([x, y], axis=-1).astype(np.float32)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright page."""
        is_on_side = self.rotation % 180 == 90
        return (self.width, self.height) if is_on_side else (self.height, self.width)

    @property
    def _shift(self) -> tuple[int, int]:
        """Along x and y, what brings the image turned around its first pixel into view."""
        across = {90: self.height, 180: self.width}.get(self.rotation, 0)
        return across, {180: self.height, 270: self.width}.get(self.rotation, 0)

    def _turn(self, corners: np.ndarray, degrees: float) -> Quads:
        """Turn clockwise around the middle of the upright page."""
        middle = np.array(self.size[::-1]) / 2
        cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        turned = (corners - middle) @ np.array([[cosine, sine], [-sine, cosine]]) + middle
        return np.asarray(turned, np.float32)


def measure_slope(quads: Quads) -> LineSlope:
    """Measure how lines run: the median of the words' longer sides, the longest the heaviest.

    Which corner of a quad is the first does not matter. Without a word that is longer one way
    than the other, all is 0.
    """
    quads = quads[np.isfinite(quads).all(axis=(1, 2))]
    widths, heights = side_lengths(quads)
    along, down = directions(quads)
    longer = np.where((widths >= heights)[:, None], along, down)
    angles = np.rad2deg(np.arctan2(longer[:, 1], longer[:, 0]))
    weights = np.abs(widths - heights)  # a square says nothing
    if not weights.sum() > 0:
        return LineSlope(0.0, 0.0, False, 0.0)
    skew = _common_angle(angles, weights)
    off = (angles - skew + 45) % 180 - 45  # from -45 to 135
    is_across = off < 45
    off_axis = np.abs(np.where(is_across, off, off - 90))
    enough = _enough(weights)
    agreeing = float(weights[off_axis <= _AGREEING].sum() / weights.sum())
    upright_share = float(weights[is_across].sum() / weights.sum())
    return LineSlope(
        skew, agreeing * enough, upright_share < 0.5, abs(2 * upright_share - 1) * enough
    )


def candidate_turns(slope: LineSlope) -> tuple[int, ...]:
    """Return the rotations worth trying, in degrees clockwise, the likeliest first."""
    if slope.is_vertical:
        others, turns = (0, 180), (270, 90)
    else:
        others, turns = (270, 90), (0, 180)
    return turns if slope.axis_confidence >= _CLEAR_AXIS else turns + others


def choose_probes(quads: Quads, num_words: int = 12) -> list[int]:
    """Choose words to read in every turn: long and large ones, spread over the page.

    Returns:
        Indices into `quads`, the most telling first; fewer if there are not so many.
    """
    is_finite = np.isfinite(quads).all(axis=(1, 2))
    sides = np.stack(side_lengths(np.where(is_finite[:, None, None], quads, 0)))
    shorter, longer = sides.min(axis=0), sides.max(axis=0)
    shape = np.minimum(longer / np.maximum(shorter, 1e-9), _LONGEST_PROBE)
    scores = np.where(shorter >= 1, shape * np.minimum(shorter, _TALLEST_PROBE), 0) * is_finite
    middles = np.where(is_finite[:, None], quads.mean(axis=1), 0).astype(np.float64)
    chosen: list[int] = []
    if not scores.any():
        return chosen
    extent = np.ptp(middles[scores > 0], axis=0)
    reach = max(1.0, float(np.linalg.norm(extent)) / num_words**0.5)
    while len(chosen) < num_words and scores.max() > 0:
        best = int(scores.argmax())
        chosen.append(best)
        distances = np.linalg.norm(middles - middles[best], axis=1)
        scores = scores * np.clip(distances / reach, 0.01, 1)
        scores[best] = 0
    return chosen


def decide_rotation(num_sure: Mapping[int, Sequence[float]]) -> Rotation:
    """Choose between turns by readings of the same words.

    Confidence alone misleads: a crop on its side is read as one letter, surely. What counts is how
    many characters are surely read.

    Args:
        num_sure: Of each turn tried, in degrees clockwise, each word's confidence times its
            number of characters, the words in the same order.

    Raises:
        ValueError: Turns have different numbers of words.
    """
    if not num_sure:
        return Rotation(0, 0.0)
    numbers = sorted({len(words) for words in num_sure.values()})
    if len(numbers) > 1:
        got = " and ".join(map(str, numbers))
        raise ValueError(f"turns have {got} words: the same must be read in each")
    turns = list(num_sure)
    scores = np.array([num_sure[turn] for turn in turns], np.float64)
    best, *others = np.argsort(-scores.mean(axis=1), kind="stable").tolist() if scores.size else [0]
    if not others:
        return Rotation(turns[best], 0.0)
    lead = scores[best] - scores[others[0]]
    evidence = lead.mean() * len(lead) ** 0.5 / (lead.var() + _NOISE) ** 0.5
    return Rotation(turns[best], 1 / (1 + len(others) * exp(-_WORTH * evidence)))


def begin_upright(quads: Quads, frame: UprightFrame) -> Quads:
    """Let each quad of the image begin at the corner that is the upper left when it is upright."""
    along, _ = directions(frame.from_image(quads))
    # As many corners on as quarter turns from its direction to the right.
    quarter_turns = np.rint(np.arctan2(along[:, 1], along[:, 0]) / (np.pi / 2)).astype(int)
    places = (np.arange(4) - quarter_turns[:, None]) % 4
    return np.take_along_axis(quads, places[:, :, None], axis=1)


def plausible_turns(quads: Quads) -> list[tuple[int, ...]]:
    """Return how each crop may have to be turned, in degrees clockwise, to be read.

    A quad much higher than wide is a line on its side, to be tried in both directions, or a narrow
    letter, which is as high as words around it are. `turn_corners` gives the quads of a turn.
    """
    widths, heights = side_lengths(quads)
    is_high = heights > _VERTICAL * widths
    common = heights[widths > heights]
    if len(common) >= _NUM_COMMON:
        is_high &= heights > _LETTER * np.median(common)
    return [(0, 90, 270) if high else (0,) for high in is_high.tolist()]


def turn_corners(quads: Quads, degrees: int) -> Quads:
    """Let quads begin where reading does if their crops are turned clockwise by 0, 90, 180, 270."""
    return np.roll(quads, degrees // 90, axis=1)


def _common_angle(angles: PerQuad, weights: PerQuad) -> float:
    """Return the angle in [-45, 45) that most have, give or take quarter turns."""
    quarters = np.deg2rad(4 * angles)
    start = np.arctan2((weights * np.sin(quarters)).sum(), (weights * np.cos(quarters)).sum())
    skew = float(np.rad2deg(start)) / 4
    for reach in (45.0, _NEAR, _NEAR):
        off = (angles - skew + 45) % 90 - 45
        near = np.abs(off) <= reach
        if near.any():
            skew += weighted_median(off[near], weights[near])
    return (skew + 45) % 90 - 45


def _enough(weights: PerQuad) -> float:
    """Return how many words there are, as heavy as they are, from 0 to 1."""
    number = float(weights.sum() ** 2 / (weights**2).sum())
    return number / (number + _FEW)
