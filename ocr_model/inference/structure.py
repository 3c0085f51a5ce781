"""From readings in places to blocks, lines and words in reading order."""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float32

from ocr_model.decoding.readings import Prediction
from ocr_model.detection.maps import Quads
from ocr_model.detection.orientation import UprightFrame
from ocr_model.detection.quads import rectangles
from ocr_model.detection.reading_order import order_words
from ocr_model.inference.pages import Block, Line, Quad, Word
from ocr_model.inference.word_gaps import Gap


def words_of(
    quad: Float32[np.ndarray, "4 2"], reading: Prediction, found: float, gaps: Sequence[Gap] = ()
) -> Iterator[Word]:
    """Give what was read in one box, a word for each run of characters between spaces.

    `gaps` says where in the box the spaces are. Where there are several words, the confidence of
    each is the product of its characters'.
    """
    text = reading.text
    spaces = [place for place, character in enumerate(text) if character.isspace()]
    starts, stops = [0, *(place + 1 for place in spaces)], [*spaces, len(text)]
    lefts, rights = [0.0, *(stop for _, stop in gaps)], [*(start for start, _ in gaps), 1.0]
    for start, stop, left, right in zip(starts, stops, lefts, rights, strict=True):
        if start < stop:
            chars = reading.char_confidences[start:stop]
            confidence = reading.confidence if stop - start == len(text) else float(np.prod(chars))
            yield Word(text[start:stop], confidence, chars, _part(quad, left, right), found)


def structure(words: Sequence[Word], frame: UprightFrame) -> tuple[Block, ...]:
    """Put the words of a page into lines and blocks, in the order in which they are read."""
    if not words:
        return ()
    quads = frame.from_image(np.array([word.polygon for word in words], np.float32))
    return tuple(
        Block(
            tuple(
                Line(tuple(words[i] for i in line), _outline(quads[list(line)], frame))
                for line in block.lines
            ),
            _outline(quads[[i for line in block.lines for i in line]], frame),
        )
        for block in order_words(quads)
    )


def _part(quad: Float32[np.ndarray, "4 2"], start: float, stop: float) -> Quad:
    """Cut a quad across, between two shares of its width."""
    top, bottom = quad[1] - quad[0], quad[2] - quad[3]
    corners = (quad[0] + start * top, quad[0] + stop * top,
               quad[3] + stop * bottom, quad[3] + start * bottom)  # fmt: skip
    return _as_quad(np.array(corners))


def _outline(quads: Quads, frame: UprightFrame) -> Quad:
    """Return the rectangle, level on the upright page, around some of its quads."""
    corners = quads.reshape(-1, 2).astype(np.float64)
    around = rectangles(corners.min(axis=0)[None], corners.max(axis=0)[None])
    return _as_quad(frame.to_image(around.astype(np.float32))[0])


def _as_quad(corners: np.ndarray) -> Quad:
    first, second, third, fourth = ((float(x), float(y)) for x, y in corners)
    return first, second, third, fourth
