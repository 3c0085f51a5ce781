"""How many steps a run of limited time can take."""

from dataclasses import dataclass, field

_FIRST_FIT = 20  # steps; the first half is left out: allocation, autotuning, data start-up
_TRAINING_SHARE = 0.93  # of the time left; the rest is validation


@dataclass
class TimeBudget:
    """Fits the length of a run to its time: at its 20th, 40th, 80th ... step.

    Speed is that since the last fit; in the second half of the time nothing is changed any more,
    unless it has begun before the first 20 steps are taken. Times are seconds of one clock.
    """

    seconds: float
    """Of the whole run, with those used before it was resumed."""
    planned_steps: int
    """Of a run without limit; never exceeded."""
    started: float
    first_step: int = 0
    """That this process takes; not 0 after a resume."""
    _next_fit: int = field(default=_FIRST_FIT, init=False)
    _mark: tuple[int, float] | None = field(default=None, init=False)

    def fitted_steps(self, step: int, total_steps: int, now: float) -> int | None:
        """Give the length of the run, in steps; None where it is not the step to fit it at.

        Which steps those are depends on no clock, so all ranks fit at the same ones.
        """
        num_taken = step - self.first_step
        if num_taken == _FIRST_FIT // 2:
            self._mark = (num_taken, now)
        if num_taken != self._next_fit or self._mark is None:
            return None
        left = self.seconds - (now - self.started)
        if left > self.seconds / 2 or self._next_fit == _FIRST_FIT:
            seconds_per_step = (now - self._mark[1]) / (num_taken - self._mark[0])
            affordable = max(1, int(_TRAINING_SHARE * left / seconds_per_step))
            total_steps = min(self.planned_steps, step + affordable)
        self._mark, self._next_fit = (num_taken, now), 2 * num_taken
        return total_steps
