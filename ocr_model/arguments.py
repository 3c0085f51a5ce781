"""Checks of what is given in Python, where no settings class makes them."""

import math
import reprlib
from numbers import Integral, Real
from typing import TypeGuard

from ocr_model.errors import ConfigError


def require_count(name: str, value: object) -> None:
    """Refuse what is no whole number of 1 or more.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ConfigError(f"{name} must be 1 or more, a whole number, got {value!r}")


def require_number(name: str, value: object) -> None:
    """Refuse what is no finite number of 0 or more.

    Raises:
        ConfigError: It is none.
    """
    if not is_number(value) or value < 0:
        raise ConfigError(f"{name} must be 0 or more, a finite number, got {value!r}")


def require_share(name: str, value: object) -> None:
    """Refuse what is no number between 0 and 1.

    Raises:
        ConfigError: It is none.
    """
    if not is_number(value) or not 0 <= value <= 1:
        raise ConfigError(f"{name} must be between 0 and 1, got {value!r}")


def require_type(name: str, value: object, *types: type | None) -> None:
    """Refuse what is of none of these types; None stands for itself.

    Raises:
        ConfigError: It is of another.
    """
    if not any(value is None if kind is None else isinstance(value, kind) for kind in types):
        wanted = " or ".join("None" if kind is None else kind.__name__ for kind in types)
        raise ConfigError(f"{name} must be {wanted}, got {reprlib.repr(value)}")


def is_number(value: object) -> TypeGuard[float]:
    """Say whether it is a finite number; Python takes True for 1."""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)
