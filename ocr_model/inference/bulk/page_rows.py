"""Pages and words to rows, and rows back to pages."""

from itertools import groupby
from typing import cast

import numpy as np

from ocr_model.decoding.readings import Prediction
from ocr_model.inference.bulk.items import Item
from ocr_model.inference.bulk.rows import Row, clean, filled_row
from ocr_model.inference.pages import Block, Line, Page, Quad, Word


def page_row(item: Item, page: Page, model: str) -> Row:
    """Return what was read on a page."""
    words: list[Row] = [
        {
            "text": clean(word.text),
            "confidence": word.confidence,
            "char_confidences": word.char_confidences,
            "polygon": [number for corner in word.polygon for number in corner],
            "box_confidence": word.box_confidence,
            "block": block_number,
            "line": line_number,
        }
        for line_number, (block_number, line) in enumerate(
            (number, line) for number, block in enumerate(page.blocks) for line in block.lines
        )
        for word in line.words
    ]
    weights = [max(1, len(word["text"])) for word in words]
    sums = sum(w["confidence"] * n for w, n in zip(words, weights, strict=True))
    return filled_row(
        item,
        model,
        page=page.number,
        error=page.error,
        text=page.text,
        confidence=sums / sum(weights) if words else None,
        words=words,
        width=page.width,
        height=page.height,
        rotation=page.rotation,
        skew=page.skew,
        warnings=page.warnings,
        seconds=list(page.seconds.items()),
    )


def word_row(item: Item, reading: Prediction, model: str) -> Row:
    """Return what was read of one word."""
    return filled_row(
        item, model, error=reading.error, text=reading.text, confidence=reading.confidence
    )


def row_page(row: Row) -> Page:
    """Return the page of a row, which any format can be made of.

    Polygons of lines and blocks are not in the rows; they become the upright boxes of the words.
    """
    numbered = [(word["block"], word["line"], _word(word)) for word in row["words"] or ()]
    blocks = []
    for _, of_block in groupby(numbered, key=lambda entry: entry[0]):
        lines = []
        for _, of_line in groupby(of_block, key=lambda entry: entry[1]):
            words = tuple(word for _, _, word in of_line)
            lines.append(Line(words, _box([word.polygon for word in words])))
        blocks.append(Block(tuple(lines), _box([line.polygon for line in lines])))
    return Page(
        row["width"] or 0,
        row["height"] or 0,
        tuple(blocks),
        number=row["page"],
        source=row["uri"],
        rotation=row["rotation"] or 0,
        skew=row["skew"] or 0.0,
        warnings=tuple(row["warnings"] or ()),
        error=row["error"],
    )


def _word(stored: Row) -> Word:
    corners = np.array(stored["polygon"]).reshape(4, 2).tolist()
    return Word(
        stored["text"],
        stored["confidence"],
        tuple(stored["char_confidences"]),
        _quad(corners),
        stored["box_confidence"],
    )


def _box(quads: list[Quad]) -> Quad:
    corners = np.array(quads).reshape(-1, 2)
    (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
    return (left, top), (right, top), (right, bottom), (left, bottom)


def _quad(corners: list[list[float]]) -> Quad:
    return cast("Quad", tuple((x, y) for x, y in corners))
