"""Forms: labels and what was filled in, on lines, in boxes or in cells; check boxes; signatures."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

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
from ocr_model.data.synthetic.sheets import Ink, Stroke
from ocr_model.data.synthetic.typesetting import Style

_VALUES = ("word", "word", "words", "number", "date", "price", "code", "phone", "address", "")


@dataclass(frozen=True)
class _Look:
    """How a form's fields are drawn."""

    column: Column
    label: Style
    value: Style
    colon: str
    line: str
    """rule, dots, box or none."""
    pitch: Number


def lay_form(setting: Setting) -> None:
    """Write a form with a title, rows of fields, check boxes, remarks and signatures."""
    sheet, rng = setting.sheet, setting.rng
    look = _draw_look(setting)
    y = sheet.height * between(rng, 0.02, 0.08)
    if happens(rng, 0.85):
        y = write_title(setting, look.column, y)
    rows: tuple[Callable[[Setting, _Look, Number], float], ...] = (
        _write_fields, _write_fields, _write_fields, _write_fields, _write_checks, _write_section,
        _write_remarks, _write_cells, _write_signatures,
    )  # fmt: skip
    while y + 2 * look.pitch < look.column.bottom:
        write = pick(rng, rows)
        for _ in range(1 + (whole(rng, 5) if write is _write_fields else 0)):
            y = write(setting, look, y)
        y += look.pitch * between(rng, 0, 0.6)
    if happens(rng, 0.4):  # a stamped number at the foot
        foot = replace(look.value, size=round(look.value.size * between(rng, 1.0, 1.5)))
        sheet.next_block()
        at = sheet.height - 0.5 * foot.size
        if at - foot.size > look.column.bottom + 0.3 * look.label.size:
            sheet.write_right(setting.wording.grammar("number"), foot, look.column.right, at)


def _draw_look(setting: Setting) -> _Look:
    sheet, rng, faces = setting.sheet, setting.rng, setting.faces
    label = style_of(faces.draw(rng), setting.x_height)
    value = style_of(faces.draw_till(rng), setting.x_height * between(rng, 1.0, 1.2))
    margin = between(rng, 0.05, 0.11)
    pitch = max(label.size, value.size) * between(rng, 1.4, 2.4)
    column = page_column(
        sheet,
        value,
        margin=margin,
        bottom=sheet.height * between(rng, 0.88, 0.94),
        leading=between(rng, 1.2, 1.5),
    )
    return _Look(
        column=replace(column, ink=Ink.PEN),
        label=faces.bold(label) if happens(rng, 0.3) else label,
        value=value,
        colon=":" if happens(rng, 0.75) else "",
        line=pick(rng, ("rule", "rule", "rule", "dots", "box", "none")),
        pitch=pitch,
    )


def _write_fields(setting: Setting, look: _Look, y: Number) -> float:
    """Write a row of one to three fields."""
    rng, column = setting.rng, look.column
    y += look.pitch
    if y > column.bottom:
        return y
    num_fields = min(1 + whole(rng, 3), max(1, int(column.width / (16 * look.label.size))))
    cuts = [(n + between(rng, -0.15, 0.15)) / num_fields for n in range(1, num_fields)]
    edges = [column.left + column.width * cut for cut in (0.0, *cuts, 1.0)]
    setting.sheet.next_block()
    for left, right in pairwise(edges):
        _write_field(setting, look, left, right - look.label.size, y)
    return y


def _write_field(setting: Setting, look: _Look, left: Number, right: Number, y: Number) -> None:
    sheet, rng = setting.sheet, setting.rng
    number = f"({setting.wording.quantity()}) " if happens(rng, 0.08) else ""
    label = number + setting.wording.label()
    label = fit_words(label, look.label, (right - left) * 0.6)
    if not label:
        return
    # The colon belongs to the last word; there is room for it before the line.
    start = sheet.write(label + look.colon, look.label, left, y) + 0.4 * look.label.size
    top, foot = y - 0.95 * look.value.size, y + 0.3 * look.value.size
    if look.line == "box":
        sheet.frame(start, top, right, foot)
    elif look.line != "none":
        dash = 2 if look.line == "dots" else 0
        sheet.rule((start, foot), (right, foot), dash=dash)
    pad = look.value.size * between(rng, 0.3, 1.5)
    value = fit_words(_value(setting), look.value, right - start - pad - 2)
    sheet.write(value, look.value, start + pad, y - whole(rng, 2), ink=look.column.ink)


def _write_cells(setting: Setting, look: _Look, y: Number) -> float:
    """Draw a row of cells, each with a label above what was filled in."""
    sheet, rng, column = setting.sheet, setting.rng, look.column
    height = look.label.size * 1.3 + look.value.size * 1.5
    top = y + 0.6 * look.pitch
    num_cells = min(2 + whole(rng, 3), max(1, int(column.width / (9 * look.label.size))))
    for _ in range(1 + whole(rng, 3)):
        if top + height > column.bottom:
            break
        width = column.width / num_cells
        for number in range(num_cells):
            left = column.left + number * width
            sheet.frame(left, top, left + width, top + height)
            room = width - look.label.size
            sheet.next_block()
            label = fit_words(setting.wording.label(), look.label, room)
            sheet.write(
                label, look.label, left + 0.4 * look.label.size, top + look.label.size * 1.1
            )
            sheet.next_line()
            value = fit_words(_value(setting), look.value, room - look.value.size)
            baseline = top + height - 0.4 * look.value.size
            sheet.write(value, look.value, left + look.value.size, baseline, ink=look.column.ink)
        top += height
    return top


def _write_checks(setting: Setting, look: _Look, y: Number) -> float:
    """Write a question with boxes to tick."""
    sheet, rng, column = setting.sheet, setting.rng, look.column
    y += look.pitch
    if y > column.bottom:
        return y
    side = round(setting.x_height * between(rng, 1.1, 1.5))
    gap = look.label.size * between(rng, 0.4, 0.8)
    sheet.next_block()
    question = fit_words(setting.wording.label() + look.colon, look.label, column.width * 0.5)
    x = sheet.write(question, look.label, column.left, y) + 2 * gap
    for _ in range(1 + whole(rng, 4)):
        option = setting.wording.label()
        if x + side + gap + look.label.width(option) > column.right:
            break
        sheet.frame(x, y - side, x + side, y)
        if happens(rng, 0.4):
            _draw_tick(setting, x, y, side)
        x = sheet.write(option, look.label, x + side + gap, y) + 2.5 * gap
    return y


def _write_section(setting: Setting, look: _Look, y: Number) -> float:
    """Write a heading with a rule or a tinted bar."""
    sheet, rng, column = setting.sheet, setting.rng, look.column
    y += 1.5 * look.pitch
    if y > column.bottom:
        return y
    style = setting.faces.bold(look.label)
    foot = y + 0.4 * style.size
    ink = Ink.PRINT
    if happens(rng, 0.3):
        is_dark = happens(rng, 0.4)
        level = 215 if is_dark else 25 + whole(rng, 35)
        sheet.shade(column.left, y - 1.1 * style.size, column.right, foot, level=level)
        ink = Ink.BARE if is_dark else ink
    elif happens(rng, 0.5):
        sheet.rule((column.left, foot), (column.right, foot), thickness=1 + whole(rng, 2))
    sheet.next_block()
    text = fit_words(setting.wording.title(1 + whole(rng, 4)), style, column.width - style.size)
    sheet.write(text, style, column.left + 0.4 * style.size, y, ink=ink)
    return y + 0.3 * look.pitch


def _write_remarks(setting: Setting, look: _Look, y: Number) -> float:
    """Write some filled-in sentences beside or below a label, and perhaps lines left blank."""
    sheet, rng, column = setting.sheet, setting.rng, look.column
    y += look.pitch
    if y > column.bottom:
        return y
    sheet.next_block()
    label = fit_words(setting.wording.label() + look.colon, look.label, column.width * 0.4)
    end = sheet.write(label, look.label, column.left, y) + look.label.size
    words = [word for _ in range(1 + whole(rng, 4)) for word in setting.wording.sentence()]
    if happens(rng, 0.5):
        y = write_paragraph(setting, replace(column, left=end), words, y - column.leading)
    else:
        y = write_paragraph(setting, column, words, y + 0.2 * look.pitch)
    for _ in range(whole(rng, 4) if happens(rng, 0.4) else 0):
        y += look.pitch
        if y < column.bottom:
            sheet.rule((column.left, y), (column.right, y))
    return y


def _write_signatures(setting: Setting, look: _Look, y: Number) -> float:
    """Draw lines that are signed, with names or labels below."""
    sheet, rng, column = setting.sheet, setting.rng, look.column
    y += 2.2 * look.pitch
    if y + look.pitch > column.bottom:
        return y
    for left in (column.left, column.left + 0.55 * column.width)[: 1 + whole(rng, 2)]:
        right = left + 0.4 * column.width
        sheet.rule((left, y), (right, y))
        if happens(rng, 0.5):
            _draw_scrawl(setting, left, right, y, look.pitch)
        sheet.next_block()
        text = fit_words(setting.wording.label(), look.label, right - left)
        sheet.write(text, look.label, left, y + 1.1 * look.label.size)
    return y + 1.3 * look.label.size


def _draw_tick(setting: Setting, x: Number, y: Number, side: Number) -> None:
    over = side * between(setting.rng, 0, 0.25)
    low, high = (x - over, y + over), (x + side + over, y - side - over)
    setting.sheet.rule(low, high, ink=Ink.PEN)
    setting.sheet.rule((x - over, y - side - over), (x + side + over, y + over), ink=Ink.PEN)


def _draw_scrawl(setting: Setting, left: Number, right: Number, y: Number, reach: Number) -> None:
    """Draw loops along a line, as a hand in a hurry: no letters, so nothing to read."""
    rng = setting.rng
    loops = np.linspace(0, 2 * np.pi * (3 + whole(rng, 6)), 120)
    fade = np.linspace(1.0, between(rng, 0.1, 0.6), 120)
    lean = between(rng, 0.2, 0.6) * (right - left)
    x = left + 0.1 * (right - left) + lean * loops / loops[-1] + 0.4 * reach * np.sin(loops)
    height = reach * fade * (0.5 + 0.5 * np.sin(loops * between(rng, 0.2, 0.7)))
    rows = y - 0.3 * reach + 0.8 * height * np.cos(loops)
    points = np.stack([x, rows], axis=1).astype(np.float32)
    setting.sheet.strokes.append(Stroke(points, 1 + whole(rng, 2), Ink.PEN))


def _value(setting: Setting) -> str:
    wording = setting.wording
    match pick(setting.rng, _VALUES):
        case "":
            return ""
        case "word":
            return wording.name()
        case "words":
            return wording.title(2 + whole(setting.rng, 4))
        case "phone":
            return wording.phone()
        case kind:
            return wording.grammar(kind)
