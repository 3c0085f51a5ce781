"""Receipts: a centred head, items with prices to the right, totals, and thanks."""

from dataclasses import dataclass, replace

from ocr_model.data.draws import Number, between, happens, pick, whole
from ocr_model.data.synthetic.layouts import Setting, fit_words
from ocr_model.data.synthetic.page_faces import style_of
from ocr_model.data.synthetic.typesetting import Style
from ocr_model.data.synthetic.wording import RECEIPT_LABELS


@dataclass
class _Roll:
    """The strip of paper and how far it is printed."""

    setting: Setting
    style: Style
    bold: Style
    left: Number
    right: Number
    pitch: Number
    y: Number
    bottom: Number
    is_capital: bool

    def feed(self, lines: Number = 1) -> bool:
        """Go down; say whether there is paper left."""
        self.y += lines * self.pitch
        return self.y <= self.bottom

    def cased(self, text: str) -> str:
        """Write a text as this till does."""
        return " ".join(text.upper().split()) if self.is_capital else text


def lay_receipt(setting: Setting) -> None:
    """Write a receipt as long as the paper, or shorter."""
    sheet, rng = setting.sheet, setting.rng
    stretch = between(rng, 0.7, 1.05)
    style = style_of(setting.faces.draw_till(rng), setting.x_height, stretch=stretch)
    margin = sheet.width * between(rng, 0.04, 0.12)
    roll = _Roll(
        setting=setting,
        style=style,
        bold=setting.faces.bold(style),
        left=margin,
        right=sheet.width - margin,
        pitch=style.size * between(rng, 1.15, 1.6),
        y=sheet.height * between(rng, 0.02, 0.08),
        bottom=sheet.height * between(rng, 0.9, 0.97),
        is_capital=happens(rng, 0.45),
    )
    _write_head(roll)
    _write_facts(roll)
    _write_rule(roll)
    _write_items(roll)
    _write_rule(roll)
    _write_totals(roll)
    _write_rule(roll)
    _write_thanks(roll)


def _write_head(roll: _Roll) -> None:
    sheet, rng, wording = roll.setting.sheet, roll.setting.rng, roll.setting.wording
    sheet.next_block()
    name = roll.bold if happens(rng, 0.6) else roll.style
    large = replace(name, size=round(name.size * between(rng, 1.0, 1.7)))
    if happens(rng, 0.3):  # tills print wide letters, not larger ones
        large = replace(name, stretch=name.stretch * between(rng, 1.3, 1.9))
    if roll.feed(large.size / roll.style.size):
        _write_centred(roll, wording.title(1 + whole(rng, 3)), large)
    for _ in range(1 + whole(rng, 4)):
        words = [f"{wording.quantity()},", *wording.title(1 + whole(rng, 3)).split()]
        if roll.feed():
            _write_centred(roll, " ".join(words[happens(rng, 0.6) :]), roll.style)
    for make in (wording.phone, lambda: wording.grammar("number"), lambda: wording.grammar("code")):
        if happens(rng, 0.5) and roll.feed():
            label = fit_words(wording.label(RECEIPT_LABELS), roll.style, _width(roll) / 2)
            _write_centred(roll, f"{label}: {make()}", roll.style)
    if happens(rng, 0.4) and roll.feed(1.6):
        _write_centred(roll, wording.title(2), roll.bold)
    roll.feed(0.5 * whole(rng, 3))


def _write_facts(roll: _Roll) -> None:
    """Write when, where and by whom."""
    rng, wording = roll.setting.rng, roll.setting.wording
    roll.setting.sheet.next_block()
    colon = ":" if happens(rng, 0.7) else ""
    tab = roll.left + _width(roll) * between(rng, 0.25, 0.4) if happens(rng, 0.5) else None
    for kind in ("date", "code", "number", "date", "word"):
        if happens(rng, 0.3) or not roll.feed():
            continue
        value = wording.name() if kind == "word" else wording.grammar(kind)
        label = roll.cased(wording.label(RECEIPT_LABELS)) + colon
        _write_pair(roll, label, value, tab)
    roll.feed(0.3)


def _write_items(roll: _Roll) -> None:
    rng, wording, style = roll.setting.rng, roll.setting.wording, roll.style
    roll.setting.sheet.next_block()
    form, digits = whole(rng, 4), 1 + whole(rng, 3)
    suffix = f" {roll.cased(wording.word()[:2])}" if happens(rng, 0.25) else ""
    if happens(rng, 0.5) and roll.feed():
        _write_row(roll, wording.label(RECEIPT_LABELS), wording.label(RECEIPT_LABELS), style)
        _write_rule(roll)
    for _ in range(1 + whole(rng, 14)):
        name = roll.cased(wording.title(1 + whole(rng, 4)))
        if form == 1:  # the quantity comes first
            name = f"{wording.quantity()} {name}"
        elif form == 2:
            name = f"{wording.grammar('number')} {name}"
        elif form == 3:  # the name has a line of its own
            if not roll.feed():
                return
            roll.setting.sheet.next_line()
            roll.setting.sheet.write(fit_words(name, style, _width(roll)), style, roll.left, roll.y)
            name = f"{wording.quantity()} x {wording.amount(digits)}"
        if not roll.feed():
            return
        _write_row(roll, name, wording.amount(digits) + suffix, style)


def _write_totals(roll: _Roll) -> None:
    rng, wording = roll.setting.rng, roll.setting.wording
    roll.setting.sheet.next_block()
    currency = pick(rng, ("", "", "$", "RM"))
    large = replace(roll.bold, stretch=roll.bold.stretch * pick(rng, (1.0, 1.0, 1.5)))
    total = whole(rng, 4)
    for number in range(2 + whole(rng, 5)):
        style = large if number == total else roll.style
        if not roll.feed(1.2 if number == total else 1):
            return
        label = roll.cased(wording.label(RECEIPT_LABELS)) + pick(rng, ("", ":"))
        _write_row(roll, label, wording.money(currency), style)


def _write_thanks(roll: _Roll) -> None:
    rng, wording = roll.setting.rng, roll.setting.wording
    roll.feed(0.5 * whole(rng, 4))
    roll.setting.sheet.next_block()
    for _ in range(whole(rng, 6)):
        if not roll.feed():
            return
        words = wording.sentence()[: 2 + whole(rng, 6)]
        text = " ".join(words) if happens(rng, 0.8) else wording.grammar("address")
        _write_centred(roll, roll.cased(text), roll.style)
    if happens(rng, 0.3) and roll.feed(3):
        _draw_bars(roll)


def _write_row(roll: _Roll, text: str, amount: str, style: Style) -> None:
    """Write a text at the left and an amount at the right of one line."""
    sheet = roll.setting.sheet
    sheet.next_line()
    start = roll.right - style.width(amount)
    sheet.write(fit_words(text, style, start - roll.left - style.space), style, roll.left, roll.y)
    if start >= roll.left:
        sheet.write(amount, style, start, roll.y)


def _write_pair(roll: _Roll, label: str, value: str, tab: Number | None) -> None:
    sheet, style = roll.setting.sheet, roll.style
    sheet.next_line()
    label = fit_words(label, style, _width(roll) * 0.6)
    end = sheet.write(label, style, roll.left, roll.y) + style.space
    start = end if tab is None else max(end, tab)
    sheet.write(fit_words(value, style, roll.right - start), style, start, roll.y)


def _write_centred(roll: _Roll, text: str, style: Style) -> None:
    roll.setting.sheet.next_line()
    middle = (roll.left + roll.right) / 2
    roll.setting.sheet.write_centred(fit_words(text, style, _width(roll)), style, middle, roll.y)


def _write_rule(roll: _Roll) -> None:
    """Draw a whole or dashed rule, single or double, or leave a gap."""
    rng, sheet = roll.setting.rng, roll.setting.sheet
    if happens(rng, 0.25) or not roll.feed():
        return
    y = roll.y - 0.35 * roll.style.size
    dash = roll.style.size * between(rng, 0.2, 0.4) if happens(rng, 0.75) else 0
    for line in range(1 + whole(rng, 2)):
        row = y + line * max(3.0, 0.25 * roll.style.size)
        sheet.rule((roll.left, row), (roll.right, row), dash=dash)


def _draw_bars(roll: _Roll) -> None:
    """Draw a bar code above the current line."""
    rng, sheet = roll.setting.rng, roll.setting.sheet
    inset = _width(roll) * between(rng, 0.05, 0.3)
    x, top = roll.left + inset, roll.y - 2 * roll.pitch
    while x < roll.right - inset:
        thickness = 1 + whole(rng, 3)
        sheet.rule((x, top), (x, roll.y), thickness=thickness)
        x += thickness + 1 + whole(rng, 4)


def _width(roll: _Roll) -> float:
    return roll.right - roll.left
