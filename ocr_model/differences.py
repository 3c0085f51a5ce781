"""What differs between the settings that made a folder and those of now."""

from collections.abc import Iterator
from typing import Any

_MOST_SHOWN = 4


def list_differences(former: dict[str, Any], now: dict[str, Any]) -> str:
    """Return `section.key was 1, is 2; ...` of nested values; empty where they are equal."""
    differences = list(_differences(former, now, ""))
    more = len(differences) - _MOST_SHOWN
    shown = "; ".join(differences[:_MOST_SHOWN])
    return f"{shown}; and {more} more" if more > 0 else shown


def _differences(former: dict[str, Any], now: dict[str, Any], prefix: str) -> Iterator[str]:
    for name in [*former, *(name for name in now if name not in former)]:
        before, after = former.get(name), now.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _differences(before, after, f"{prefix}{name}.")
        elif before != after:
            yield f"{prefix}{name} was {before!r}, is {after!r}"
