"""How many steps a run of limited time can take."""

from dataclasses import dataclass, field

_FIRST_FIT = 20  # steps; the first half is left out: allocation, autotuning, data start-up
_EARLY_FITS = {4: 1, 10: 4}  # steps, and from which on their speed is measured
_TRAINING_SHARE = 0.93  # of the time left; the rest is validation


@dataclass
class TimeBudget:
    """Fits the length of a run to its time: at its 20th, 40th, 80th ... step.

    Speed is that since the last fit; in the second half of the time nothing is changed any more,
    unless it has begun before the first 20 steps are taken. Where those would use up half of the
    time left, the length is fitted at the 4th and 10th already. Times are seconds of one clock.
    """

    seconds: float
    """Of the whole run, with those used before it was resumed."""
    planned_steps: int
    """Of a run without limit; never exceeded."""
    started: float
    first_step: int = 0
    """That this process takes; not 0 after a resume."""
    _next_fit: int = field(default=_FIRST_FIT, init=False)
    _marks: dict[int, float] = field(default_factory=dict, init=False)
    """When steps were taken, of those that speed is measured from."""
    _is_cut_early: bool = field(default=False, init=False)

    def fitted_steps(self, step: int, total_steps: int, now: float) -> int | None:
        """Give the length of the run, in steps; None where it is not the step to fit it at.

        Which steps those are depends on no clock, so all ranks fit at the same ones.
        """
        num_taken = step - self.first_step
        if num_taken in {*_EARLY_FITS, *_EARLY_FITS.values(), self._next_fit}:
            self._marks[num_taken] = now
        left = self.seconds - (now - self.started)
        if num_taken in _EARLY_FITS:
            pace = self._seconds_per_step(_EARLY_FITS[num_taken], num_taken)
            if self._is_cut_early or pace * (_FIRST_FIT - num_taken) > left / 2:
                self._is_cut_early = True
                return self._affordable(step, left, pace)
            return total_steps
        if num_taken != self._next_fit:
            return None
        if left > self.seconds / 2 or num_taken == _FIRST_FIT:
            pace = self._seconds_per_step(num_taken // 2, num_taken)
            total_steps = self._affordable(step, left, pace)
        self._next_fit = 2 * num_taken
        return total_steps

    def _seconds_per_step(self, first: int, last: int) -> float:
        return (self._marks[last] - self._marks[first]) / (last - first)

    def _affordable(self, step: int, left: float, seconds_per_step: float) -> int:
        steps = max(1, int(_TRAINING_SHARE * left / seconds_per_step))
        return min(self.planned_steps, step + steps)
