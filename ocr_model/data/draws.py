"""Random draws of one number, cheap: numpy's own for scalars cost ten times `Generator.random`."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Number = float | int


def happens(rng: np.random.Generator, probability: float) -> bool:
    """Say yes with a probability."""
    return bool(rng.random() < probability)


def between(rng: np.random.Generator, low: Number, high: Number) -> float:
    """Draw evenly from [low, high)."""
    return low + (high - low) * float(rng.random())


def whole(rng: np.random.Generator, stop: int) -> int:
    """Draw a whole number from 0 to `stop` - 1."""
    return int(rng.random() * stop)


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Draw one of some options, all alike."""
    return options[whole(rng, len(options))]
