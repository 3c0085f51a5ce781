"""Random draws of one number, cheap: numpy's own for scalars cost ten times `Generator.random`."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import accumulate, chain
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from pydantic import PositiveFloat, model_validator

from ocr_model.config import Config

T = TypeVar("T")
Number = float | int
_AT_ONCE = 64


@runtime_checkable
class Random(Protocol):
    """What decides: numpy's generator, or `Draws` of one."""

    def random(self) -> float:
        """Draw evenly from [0, 1)."""


class Draws:
    """The numbers of a generator, taken 64 at a time: 0.04 µs each instead of 0.23."""

    __slots__ = ("random",)

    random: Callable[[], float]
    """Draws evenly from [0, 1)."""

    def __init__(self, rng: np.random.Generator) -> None:
        lists = iter(lambda: rng.random(_AT_ONCE).tolist(), None)
        self.random = chain.from_iterable(lists).__next__


def happens(rng: Random, probability: float) -> bool:
    """Say yes with a probability."""
    return rng.random() < probability


def between(rng: Random, low: Number, high: Number) -> float:
    """Draw evenly from [low, high)."""
    return low + (high - low) * rng.random()


def whole(rng: Random, stop: int) -> int:
    """Draw a whole number from 0 to `stop` - 1."""
    return int(rng.random() * stop)


def pick(rng: Random, options: Sequence[T]) -> T:
    """Draw one of some options, all alike."""
    return options[whole(rng, len(options))]


class Range(Config):
    """Bounds of what is drawn."""

    least: PositiveFloat
    most: PositiveFloat

    @model_validator(mode="after")
    def _is_in_order(self) -> "Range":
        if self.least > self.most:
            raise ValueError(f"least is {self.least}, above most ({self.most})")
        return self

    def draw(self, rng: Random) -> float:
        """Draw evenly by the logarithm: as many from 8 to 16 as from 16 to 32."""
        return float(self.least * (self.most / self.least) ** rng.random())


class Shares(Config):
    """How often each of some kinds is drawn, relative to the others; 0 leaves one out."""

    @model_validator(mode="after")
    def _something_is_drawn(self) -> "Shares":
        if not self.kinds:
            raise ValueError("all are 0, so there is nothing to draw")
        return self

    @property
    def kinds(self) -> list[str]:
        """Names of those that are drawn at all."""
        return [name for name, share in self.model_dump().items() if share]

    def draw(self, rng: Random) -> str:
        """Draw the name of a kind."""
        kinds, ends = self._ends
        return kinds[bisect_right(ends, rng.random())]

    @cached_property
    def _ends(self) -> tuple[list[str], list[float]]:
        """The kinds, and where the part of each but the last ends in [0, 1)."""
        kinds = self.kinds
        *ends, total = accumulate(getattr(self, kind) for kind in kinds)
        return kinds, [end / total for end in ends]
