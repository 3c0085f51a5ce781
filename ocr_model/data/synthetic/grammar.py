"""Texts by rule: numbers, prices, dates, codes."""

import string

from ocr_model.data.draws import Random, between, happens, pick, whole

_INNER_MARKS = "-/.:_#&+=@$^|~\\`"
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def digits(rng: Random, shortest: int, longest: int) -> str:
    """Draw a number without leading zeros, of so many digits."""
    length = shortest + whole(rng, longest - shortest + 1)
    low = 10 ** (length - 1) if length > 1 else 0
    return str(int(between(rng, low, 10**length)))


def code(rng: Random) -> str:
    """Draw capitals and digits."""
    letters = "".join(pick(rng, string.ascii_uppercase) for _ in range(1 + whole(rng, 4)))
    number = digits(rng, 1, 5)
    return letters + number if happens(rng, 0.7) else number + letters


def decimal(rng: Random) -> str:
    """Draw a number with separators, perhaps below zero."""
    number = f"{between(rng, 0, 10 ** (1 + whole(rng, 6))):,.{whole(rng, 3)}f}"
    sign = "-" if happens(rng, 0.1) else ""
    return sign + (number if happens(rng, 0.7) else number.translate(_SWAPPED))


_SWAPPED = str.maketrans(",.", ".,")


def price(rng: Random) -> str:
    """Draw an amount, mostly with a currency."""
    amount = f"{between(rng, 0, 10 ** (1 + whole(rng, 4))):,.{2 * whole(rng, 2)}f}"
    forms = (f"${amount}", f"{amount}$", amount, f"{amount} USD", f"-{amount}", f"{amount}%")
    return pick(rng, forms[:3] if happens(rng, 0.8) else forms)


def date(rng: Random) -> str:
    """Draw a date or a time."""
    day, month, year = 1 + whole(rng, 28), 1 + whole(rng, 12), 1950 + whole(rng, 85)
    forms = (
        f"{day:02}/{month:02}/{year}", f"{month}/{day}/{year % 100:02}",
        f"{year}-{month:02}-{day:02}", f"{day:02}.{month:02}.{year}",
        f"{day} {_MONTHS[month - 1]} {year}", f"{_MONTHS[month - 1]} {day}",
        f"{whole(rng, 24):02}:{whole(rng, 60):02}", f"{1 + whole(rng, 12)}:{whole(rng, 60):02}PM",
    )  # fmt: skip
    return pick(rng, forms)


def serial(rng: Random) -> str:
    """Draw codes with a mark between them."""
    parts = [
        digits(rng, 1, 4) if happens(rng, 0.5) else code(rng) for _ in range(2 + whole(rng, 2))
    ]
    return pick(rng, _INNER_MARKS).join(parts)
