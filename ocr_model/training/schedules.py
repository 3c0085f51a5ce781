"""What changes over a run, as pure functions of how far it has come.

None has state, so a resumed run needs only its step number.
"""

import math
from typing import Literal, assert_never

ScheduleName = Literal["one_cycle", "cosine", "constant"]

_ONE_CYCLE_START = 1 / 25  # of the peak; torch's OneCycleLR has the same defaults
_ONE_CYCLE_END = _ONE_CYCLE_START / 1e4


def learning_rate_factor(name: ScheduleName, step: int, num_steps: int, warmup: float) -> float:
    """Return the factor on the peak learning rate for `step` of `num_steps`, in `[0, 1]`.

    Args:
        name: `one_cycle` rises and falls along cosines (arXiv:1708.07120); `cosine` rises
            linearly and falls along a cosine to 0; `constant` rises linearly and stays.
        step: From 0; beyond `num_steps` the last value holds.
        num_steps: Optimiser steps of the whole run.
        warmup: Share of the run that rises, in `[0, 1]`.
    """
    last = max(num_steps - 1, 1)
    position = min(step, last)
    peak = warmup * num_steps - 1
    match name:
        case "one_cycle":
            if position <= peak and peak > 0:
                return _anneal(_ONE_CYCLE_START, 1.0, position / peak)
            return _anneal(1.0, _ONE_CYCLE_END, (position - peak) / (last - peak))
        case "cosine":
            rise = (position + 1) / (peak + 1) if peak >= 0 else 1.0
            fall = (position - peak) / (last - peak) if last > peak else 0.0
            return rise if position < peak else _anneal(1.0, 0.0, fall)
        case "constant":
            return min(1.0, (position + 1) / (peak + 1)) if peak > 0 else 1.0
        case _:
            assert_never(name)


def teacher_forcing_probability(epoch: int, start: float, end: float, num_epochs: int) -> float:
    """Return the probability that the decoder is fed the truth, falling linearly by epoch."""
    share = min(1.0, epoch / max(num_epochs - 1, 1))
    return start + (end - start) * share


def _anneal(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
