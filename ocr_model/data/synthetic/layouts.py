"""Pages of running text: titles, headings, paragraphs and lists in one or two columns."""

from dataclasses import dataclass, replace

import numpy as np

from ocr_model.data.draws import Number, between, happens, whole
from ocr_model.data.synthetic.page_faces import PageFaces, style_of
from ocr_model.data.synthetic.sheets import Ink, Sheet
from ocr_model.data.synthetic.typesetting import Style
from ocr_model.data.synthetic.wording import Wording

_LEAST_COLUMN = 34  # x-heights; narrower columns hold two words a line
_WIDEST_GAP = 2.6  # spaces; a line that would need wider ones is not justified


@dataclass(frozen=True)
class Setting:
    """What a layout works with."""

    sheet: Sheet
    wording: Wording
    faces: PageFaces
    x_height: Number
    """Of the page's smallest text, in pixels."""
    rng: np.random.Generator


@dataclass(frozen=True)
class Column:
    """A strip of the page and how text runs in it."""

    left: Number
    right: Number
    bottom: Number
    """No baseline is below."""
    style: Style
    leading: Number
    """Pixels from baseline to baseline."""
    is_justified: bool = False
    indent: Number = 0
    """Of a paragraph's first line."""
    ink: Ink = Ink.PRINT

    @property
    def width(self) -> float:
        """Pixels."""
        return self.right - self.left


def lay_text(setting: Setting) -> None:
    """Write a page of a book, paper or letter."""
    sheet, rng = setting.sheet, setting.rng
    style = style_of(setting.faces.draw(rng), setting.x_height)
    column = page_column(
        sheet,
        style,
        margin=between(rng, 0.06, 0.13),
        bottom=sheet.height - sheet.height * between(rng, 0.04, 0.1),
        leading=between(rng, 1.2, 1.7),
    )
    column = replace(
        column,
        is_justified=happens(rng, 0.5),
        indent=style.size * between(rng, 1, 2.5) if happens(rng, 0.4) else 0,
    )
    y = sheet.height * between(rng, 0.03, 0.09)
    if happens(rng, 0.4):
        y = _write_running_head(setting, column, y)
    if happens(rng, 0.6):
        y = write_title(setting, column, y)
    is_narrow = column.width < 2.2 * _LEAST_COLUMN * setting.x_height
    if is_narrow or happens(rng, 0.6):
        _fill(setting, column, y)
        return
    gutter = style.size * between(rng, 1.5, 3)
    middle = (column.left + column.right) / 2
    _fill(setting, replace(column, right=middle - gutter / 2), y)
    _fill(setting, replace(column, left=middle + gutter / 2), y)


def page_column(
    sheet: Sheet, style: Style, *, margin: Number, bottom: Number, leading: Number
) -> Column:
    """Return the column of a page between its margins.

    Args:
        sheet: The page.
        style: Of the text.
        margin: On either side, as a share of the width.
        bottom: Where it ends, in pixels.
        leading: From baseline to baseline, in em.
    """
    edge = sheet.width * margin
    return Column(edge, sheet.width - edge, bottom, style, style.size * leading)


def write_title(setting: Setting, column: Column, y: Number) -> float:
    """Write one or two large lines; return where the next text may begin."""
    rng, wording = setting.rng, setting.wording
    large = replace(column.style, size=round(column.style.size * between(rng, 1.2, 2.0)))
    style = setting.faces.bold(large) if happens(rng, 0.7) else large
    words = wording.title(1 + whole(rng, 6)).split()
    heading = replace(column, style=style, leading=1.3 * style.size, is_justified=False)
    is_centred = happens(rng, 0.6)
    setting.sheet.next_block()
    for line in break_lines(words, heading)[:2]:
        y += heading.leading
        setting.sheet.next_line()
        if is_centred:
            middle = (column.left + column.right) / 2
            setting.sheet.write_centred(" ".join(line), style, middle, y)
        else:
            setting.sheet.write_words(line, style, column.left, y)
    return y + column.leading * between(rng, 0.4, 1.2)


def write_paragraph(setting: Setting, column: Column, words: list[str], y: Number) -> float:
    """Write words line by line as one block; return the last baseline."""
    sheet = setting.sheet
    sheet.next_block()
    lines = break_lines(words, column)
    for number, line in enumerate(lines):
        if y + column.leading > column.bottom:
            break
        y += column.leading
        indent = 0 if number else column.indent
        gap = _gap(line, column, indent) if number < len(lines) - 1 else column.style.space
        sheet.next_line()
        sheet.write_words(line, column.style, column.left + indent, y, gap=gap, ink=column.ink)
    return y


def break_lines(words: list[str], column: Column) -> list[list[str]]:
    """Divide words into lines that fit; a word wider than the column is left out."""
    lines: list[list[str]] = []
    end = column.right + 1.0
    for word in words:
        width = column.style.width(word)
        if width > column.width - column.indent:
            continue
        end += column.style.space + width
        if end > column.right:
            end = column.left + width + (0 if lines else column.indent)
            lines.append([])
        lines[-1].append(word)
    return lines


def fit_words(text: str, style: Style, width: Number) -> str:
    """Return as many of a text's words as a width has room for."""
    words = text.split()
    while words and style.width(" ".join(words)) > width:
        words.pop()
    return " ".join(words)


def _fill(setting: Setting, column: Column, y: Number) -> None:
    """Write paragraphs, lists and headings down to the column's end, or not quite."""
    rng, wording = setting.rng, setting.wording
    gap = column.leading * (between(rng, 0.3, 1.0) if happens(rng, 0.6) else 0)
    heading = setting.faces.bold(column.style)
    while y + 2 * column.leading < column.bottom:
        drawn = float(rng.random())
        if drawn < 0.12:
            y += column.leading * 0.5
            words = wording.title(1 + whole(rng, 5)).split()
            bold = replace(column, style=heading, is_justified=False, indent=0)
            y = write_paragraph(setting, bold, words, y) + column.leading * 0.2
        elif drawn < 0.24:
            y = _write_list(setting, column, y) + gap
        else:
            words = [word for _ in range(1 + whole(rng, 6)) for word in wording.sentence()]
            y = write_paragraph(setting, column, words, y) + gap
        if happens(rng, 0.03):
            return


def _write_list(setting: Setting, column: Column, y: Number) -> float:
    rng, style = setting.rng, column.style
    is_numbered, bullet = happens(rng, 0.4), round(setting.x_height * between(rng, 0.2, 0.45))
    inset = style.size * between(rng, 0.3, 1.5)
    hanging = inset + style.size * 2.2
    items = replace(column, left=column.left + hanging, indent=0, is_justified=False)
    for number in range(1, 3 + whole(rng, 5)):
        if y + column.leading > column.bottom:
            break
        row = y + column.leading
        if is_numbered:
            setting.sheet.next_block()
            setting.sheet.write(f"{number}.", style, column.left + inset, row)
        else:
            at = (column.left + inset + style.size / 2, row - setting.x_height / 2)
            setting.sheet.rule(at, at, thickness=2 * bullet)
        words = setting.wording.sentence()[: 4 + whole(rng, 20)]
        y = _write_item(setting, items, words, y, starts_block=not is_numbered)
    return y


def _write_item(
    setting: Setting, column: Column, words: list[str], y: Number, *, starts_block: bool
) -> float:
    """Write a list's item; the first line goes on behind its number."""
    if starts_block:
        return write_paragraph(setting, column, words, y)
    for number, line in enumerate(break_lines(words, column)):
        if y + column.leading > column.bottom:
            break
        y += column.leading
        if number:
            setting.sheet.next_line()
        setting.sheet.write_words(line, column.style, column.left, y)
    return y


def _write_running_head(setting: Setting, column: Column, y: Number) -> float:
    rng, style = setting.rng, column.style
    y += style.size
    setting.sheet.next_block()
    text = setting.wording.title(1 + whole(rng, 4))
    setting.sheet.write(fit_words(text, style, column.width * 0.7), style, column.left, y)
    setting.sheet.write_right(setting.wording.quantity(), style, column.right, y)
    if happens(rng, 0.5):
        line = y + 0.6 * style.size
        setting.sheet.rule((column.left, line), (column.right, line))
    return y + column.leading


def _gap(line: list[str], column: Column, indent: Number) -> float:
    style = column.style
    if not column.is_justified or len(line) < 2:
        return style.space
    room = column.width - indent - sum(style.width(word) for word in line)
    gap = room / (len(line) - 1)
    return gap if gap < _WIDEST_GAP * style.space else style.space
