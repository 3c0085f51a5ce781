"""A page on its way: what was found, turned and read of it so far."""

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float32

from ocr_model.decoding.readings import Prediction
from ocr_model.detection.boxes import FoundWords
from ocr_model.detection.maps import Quads
from ocr_model.detection.orientation import (
    LineSlope,
    Rotation,
    UprightFrame,
    begin_upright,
    candidate_turns,
    choose_probes,
    decide_rotation,
    measure_slope,
)
from ocr_model.detection.rectify import RectifyConfig, rectify
from ocr_model.image import ImageGeometry, Pixels
from ocr_model.inference.documents import PageImage
from ocr_model.inference.pages import Page
from ocr_model.inference.structure import structure, words_of
from ocr_model.inference.word_gaps import Gap, find_gaps

_WITHOUT_MARGIN = RectifyConfig(margin=0)
_SURE_SLOPE = 0.5  # below, words run in all directions, and none is the page's
_SURE_TURN = 0.9  # below, of pages that may be upright most are; few words often say otherwise
_TOLD_WRONGLY = 0.35  # of the characters read, at most, in wrong turns of 52 pages
_TOLD_RIGHTLY = 0.5  # from which on no other turn is tried
_TURNS_OF_AN_AXIS = 2
_FEWEST_CHARS = 20  # that have to be read for that: NO is ON upside down


@dataclass
class Draft:
    """A page on its way."""

    image: PageImage
    pixels: Pixels
    quads: Quads
    """Of the words; as the page lies at first, then each beginning at its upper left."""
    box_confidences: np.ndarray
    frame: UprightFrame
    rotation_confidence: float = 0.0
    skew_confidence: float = 0.0
    turns: tuple[int, ...] = ()
    """In degrees clockwise, worth trying, the likeliest first; none: it stays as it lies."""
    probes: dict[int, list[Prediction]] = field(default_factory=dict)
    """The same few words, as they read in each turn that was tried."""
    readings: list[Prediction | None] = field(default_factory=list)
    """One per word, empty before any is; None: there was no time for it."""
    first_readings: list[Prediction | None] = field(default_factory=list)
    """The same of words as the page lies; a high one may read better turned to a side."""
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    limited: str = ""
    """The warning of `limit_words`; empty where nothing was left out."""
    _chosen: list[int] = field(default_factory=list)

    def limit_words(self, most: int) -> None:
        """Keep the surest words where there are too many, and say so."""
        num_found = len(self.quads)
        self.limited = ""
        if num_found <= most:
            return
        self.limited = f"max_words: {num_found - most} of {num_found} words were left out"
        kept = np.sort(np.argsort(-self.box_confidences, kind="stable")[:most])
        self.quads, self.box_confidences = self.quads[kept], self.box_confidences[kept]

    def level(self, *, may_be_turned: bool) -> None:
        """Level the frame, and choose the turns that are worth trying and words to try them on."""
        slope = self._level()
        if may_be_turned:
            self._chosen = choose_probes(self.quads)
            self.turns = candidate_turns(slope) if self._chosen else ()

    @property
    def may_be_upright(self) -> bool:
        """Whether it is read as it lies, before anything else is tried."""
        return not self.turns or self.turns[0] == 0

    def probe_quads(self, turn: int) -> Quads:
        """Return the chosen words as the image has them after a turn."""
        return begin_upright(self.quads[self._chosen], replace(self.frame, rotation=turn))

    def take_probes(self) -> None:
        """Take what was read of the chosen words as the page lies, if there was time for all."""
        if self.frame.rotation:
            return
        found = [self.first_readings[word] for word in self._chosen]
        read = [reading for reading in found if reading is not None]
        if len(read) == len(found):
            self.probes[0] = read

    @property
    def is_surely_right(self) -> bool:
        """Whether what was tried reads so well that no other turn need be."""
        return is_surely_right(self.probes, self.turns)

    def turn_upright(self) -> None:
        """Turn the frame the way in which the chosen words read the best.

        Where time was too short for other turns that should have been tried, say so.
        """
        if not self.turns:
            return
        if len(self.probes) < len(self.turns) and not self.is_surely_right:
            self.warnings.append("max_seconds: which way up the page is was not tried")
            return
        sure = {turn: [_told(reading) for reading in found] for turn, found in self.probes.items()}
        if len(sure) == 1:  # the others would have been read as badly as wrong turns are
            ((turn, readings),) = self.probes.items()
            sure[(turn + 180) % 360] = [_TOLD_WRONGLY * len(r.text) for r in readings]
        rotation = decide_rotation(sure)
        if 0 in sure and rotation.degrees and rotation.confidence < _SURE_TURN:
            rotation = Rotation(0, 1 - rotation.confidence)
        self.frame = replace(self.frame, rotation=rotation.degrees)
        self.rotation_confidence = rotation.confidence

    def turned_pixels(self) -> Pixels:
        """Return the image upright."""
        return np.ascontiguousarray(np.rot90(self.pixels, -self.frame.rotation // 90))

    def find_again(self, words: FoundWords) -> None:
        """Take the words found in `turned_pixels`; a detector finds more where lines are level."""
        if not len(words.quads):
            return
        self.quads = replace(self.frame, skew=0.0).to_image(words.quads)
        self.box_confidences = words.confidences
        self._level()

    def compose(self, geometry: ImageGeometry, *, min_confidence: float) -> Page:
        """Return the page, its words in reading order; those that are less sure are left out.

        Where one box has several words, the gaps between them are looked for in its picture, cut
        out at `geometry`'s height.
        """
        began = time.monotonic()
        parts = zip(self.quads, self.readings, self.box_confidences.tolist(), strict=True)
        words = [
            word
            for quad, reading, confidence in parts
            if reading is not None and reading.confidence >= min_confidence
            for word in words_of(quad, reading, confidence, self._gaps(quad, reading, geometry))
        ]
        num_unread = self.readings.count(None)
        if num_unread:
            self.warnings.append(f"max_seconds: {num_unread} words were found but not read")
        blocks = structure(words, self.frame)
        self.seconds["order"] = time.monotonic() - began
        return Page(
            width=self.frame.width,
            height=self.frame.height,
            blocks=blocks,
            number=self.image.number,
            source=self.image.source,
            rotation=self.frame.rotation,
            rotation_confidence=self.rotation_confidence,
            skew=self.frame.skew,
            skew_confidence=self.skew_confidence,
            seconds=self.seconds,
            warnings=tuple(filter(None, [self.limited, *self.warnings])),
        )

    def _level(self) -> LineSlope:
        slope = measure_slope(self.quads)
        self.skew_confidence = slope.confidence
        is_sure = slope.confidence >= _SURE_SLOPE
        self.frame = replace(self.frame, skew=slope.skew if is_sure else 0.0)
        return slope

    def _gaps(
        self, quad: Float32[np.ndarray, "4 2"], reading: Prediction, geometry: ImageGeometry
    ) -> list[Gap]:
        if not any(character.isspace() for character in reading.text):
            return []
        (crop,) = rectify(self.pixels, quad[None], geometry, _WITHOUT_MARGIN)
        return find_gaps(crop, reading.text)


def is_surely_right(probes: dict[int, list[Prediction]], candidates: Collection[int]) -> bool:
    """Return whether a turn reads so well that no other of the candidates need be tried.

    Where lines do not tell the axis, half of the words may lie: then a turn to the side has to be
    better than none.
    """
    if len(candidates) > _TURNS_OF_AN_AXIS and 0 not in probes:
        return False
    readings = [reading for found in probes.values() for reading in found]
    num_chars = sum(len(reading.text) for reading in readings)
    told = sum(map(_told, readings))
    return num_chars >= _FEWEST_CHARS and told >= _TOLD_RIGHTLY * num_chars


def _told(reading: Prediction) -> float:
    """Return how much a probe says for its turn: one sure letter says little."""
    return reading.confidence * len(reading.text)
