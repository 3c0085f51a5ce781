"""Pages of tables: a first column of names, and numbers set to the right."""

from dataclasses import dataclass

from ocr_model.data.draws import Number, between, happens, pick, whole
from ocr_model.data.synthetic.layouts import (
    Column,
    Setting,
    fit_words,
    page_column,
    write_paragraph,
    write_title,
)
from ocr_model.data.synthetic.page_faces import style_of
from ocr_model.data.synthetic.sheets import Ink
from ocr_model.data.synthetic.typesetting import Style
from ocr_model.data.synthetic.wording import Wording

_NUMBERS = ("amount", "amount", "number", "decimal", "price")
_KINDS = (*_NUMBERS, "quantity", "code", "date", "label")
_DARK = 215


@dataclass(frozen=True)
class Cells:
    """Texts of a table, row by row, the header first."""

    rows: list[list[str]]
    is_right: list[bool]
    """Of each column: set to the right."""
    widths: list[float]
    styles: list[Style]
    """Of each row."""


def lay_tables(setting: Setting) -> None:
    """Write a page with a title and one table or more, with lines of text between."""
    sheet, rng = setting.sheet, setting.rng
    style = style_of(setting.faces.draw(rng), setting.x_height)
    column = page_column(
        sheet,
        style,
        margin=between(rng, 0.05, 0.1),
        bottom=sheet.height * between(rng, 0.9, 0.96),
        leading=between(rng, 1.2, 1.5),
    )
    y = sheet.height * between(rng, 0.03, 0.08)
    if happens(rng, 0.7):
        y = write_title(setting, column, y)
    while y + 6 * column.leading < column.bottom:
        if happens(rng, 0.5):
            words = [word for _ in range(1 + whole(rng, 3)) for word in setting.wording.sentence()]
            y = write_paragraph(setting, column, words, y)
        y = _write_table(setting, column, y + column.leading * between(rng, 0.6, 1.4))
        y += column.leading * between(rng, 0.8, 2.5)
        if happens(rng, 0.25):
            break


def _write_table(setting: Setting, column: Column, top: Number) -> float:
    """Write a table down to the column's end at most; return its lower edge."""
    sheet, rng, style = setting.sheet, setting.rng, column.style
    pitch = style.size * between(rng, 1.35, 2.2)
    num_rows = min(3 + whole(rng, 25), int((column.bottom - top) / pitch) - 1)
    if num_rows < 2:
        return top
    cells = _draw_cells(setting, style, num_rows, column.width)
    left = column.left
    if sum(cells.widths) < 0.8 * column.width and happens(rng, 0.4):
        left += (column.width - sum(cells.widths)) * pick(rng, (0.5, 1.0))
    edges = [left]
    for width in cells.widths:
        edges.append(edges[-1] + width)
    is_dark = _draw_rules(setting, edges, top, pitch, len(cells.rows))
    pad = style.size * 0.5
    sheet.next_block()
    for number, (row, face) in enumerate(zip(cells.rows, cells.styles, strict=True)):
        baseline = top + (number + 0.5) * pitch + setting.x_height * 0.6
        ink = Ink.BARE if is_dark and not number else Ink.PRINT
        sheet.next_line()
        for start, end, text, is_right in zip(edges, edges[1:], row, cells.is_right, strict=False):
            fitted = fit_words(text, face, end - start - pad)
            if is_right:
                sheet.write_right(fitted, face, end - pad, baseline, ink=ink)
            else:
                sheet.write(fitted, face, start + pad, baseline, ink=ink)
    return top + len(cells.rows) * pitch


def _draw_cells(setting: Setting, style: Style, num_rows: int, room: Number) -> Cells:
    rng, wording = setting.rng, setting.wording
    kinds = ["label", *(pick(rng, _KINDS) for _ in range(1 + whole(rng, 6)))]
    bold = setting.faces.bold(style)
    rows = [[wording.label() for _ in kinds]]
    rows += [[_cell(wording, kind) for kind in kinds] for _ in range(num_rows)]
    styles = [bold if happens(rng, 0.7) else style] + [style] * num_rows
    if happens(rng, 0.3):  # a last row of totals
        styles[-1] = bold
    blank = 0.15 if happens(rng, 0.2) else 0.0
    for row in rows[1:]:
        row[1:] = ["" if happens(rng, blank) else text for text in row[1:]]
    widths = []
    for texts in zip(*rows, strict=True):
        shown = [texts[0].partition(" ")[0], *texts[1:]]  # headers are cut to the cells' width
        widest = max(face.width(text) for face, text in zip(styles, shown, strict=True))
        widths.append(widest + 1.2 * style.size)
    while len(widths) > 1 and sum(widths) > room:
        widths.pop()
    if sum(widths) > room or happens(rng, 0.6):
        widths = [width * room / sum(widths) for width in widths]
    return Cells(rows, [kind in _NUMBERS for kind in kinds], widths, styles)


def _cell(wording: Wording, kind: str) -> str:
    match kind:
        case "amount":
            return wording.amount()
        case "quantity":
            return wording.quantity()
        case "label":
            return wording.label()
        case _:
            return wording.grammar(kind)


def _draw_rules(
    setting: Setting, edges: list[float], top: Number, pitch: Number, num_rows: int
) -> bool:
    """Draw lines and tints; say whether the header is on a dark ground."""
    sheet, rng = setting.sheet, setting.rng
    left, right, bottom = edges[0], edges[-1], top + num_rows * pitch
    is_dark = happens(rng, 0.15)
    if is_dark:
        sheet.shade(left, top, right, top + pitch, level=_DARK)
    elif happens(rng, 0.25):
        sheet.shade(left, top, right, top + pitch, level=20 + whole(rng, 40))
    if happens(rng, 0.15):
        for row in range(2, num_rows, 2):
            y = top + row * pitch
            sheet.shade(left, y, right, y + pitch, level=12 + whole(rng, 15))
    thickness = 1 + int(setting.x_height > 9 and happens(rng, 0.3))
    every_row = [top + row * pitch for row in range(num_rows + 1)]
    kind = whole(rng, 5)
    levels = (every_row, every_row, every_row, [top, top + pitch, bottom], [])[kind]
    for y in levels:
        sheet.rule((left, y), (right, y), thickness=thickness)
    for x in edges if kind < 2 else ():
        sheet.rule((x, top), (x, bottom), thickness=thickness)
    return is_dark
