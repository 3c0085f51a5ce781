from ocr_model.training.budget import TimeBudget


def _run(budget: TimeBudget, seconds_of_step: list[float]) -> list[int]:
    """Walk through a run; give its length after each step taken."""
    now, step, total, lengths = budget.started, budget.first_step, budget.planned_steps, []
    while step < total:
        step += 1
        now += seconds_of_step[min(step, len(seconds_of_step)) - 1]
        total = budget.fitted_steps(step, total, now) or total
        lengths.append(total)
    return lengths


def test_a_run_at_even_speed_uses_93_percent_of_its_time() -> None:
    lengths = _run(TimeBudget(seconds=100.0, planned_steps=10**6, started=7.0), [0.1])
    assert lengths[18:20] == [10**6, 20 + 911]
    assert 930 <= len(lengths) < 1000


def test_the_slow_start_of_a_run_does_not_cut_it() -> None:
    slow_start = [2.0] * 10 + [0.1]
    assert len(_run(TimeBudget(seconds=100.0, planned_steps=10**6, started=0.0), slow_start)) > 740


def test_a_run_that_fits_is_never_made_longer() -> None:
    assert len(_run(TimeBudget(seconds=100.0, planned_steps=300, started=0.0), [0.1])) == 300


def test_a_run_that_becomes_slower_is_cut_again() -> None:
    slower = [0.1] * 30 + [0.4]
    lengths = _run(TimeBudget(seconds=100.0, planned_steps=10**6, started=0.0), slower)
    assert lengths[20] > 900
    assert 220 < len(lengths) < 260


def test_in_the_second_half_of_the_time_the_length_stands() -> None:
    lengths = _run(TimeBudget(seconds=10.0, planned_steps=10**6, started=0.0), [0.2])
    assert len(set(lengths[19:])) == 1


def test_time_used_up_by_the_first_steps_still_ends_the_schedule() -> None:
    assert len(_run(TimeBudget(seconds=1.0, planned_steps=10**6, started=0.0), [1.0])) == 5
    later = [0.01] * 10 + [1.0]
    assert len(_run(TimeBudget(seconds=1.0, planned_steps=10**6, started=0.0), later)) == 21


def test_a_resumed_run_measures_its_speed_anew() -> None:
    budget = TimeBudget(seconds=100.0, planned_steps=10**6, started=0.0, first_step=500)
    lengths = _run(budget, [0.1])
    assert lengths[19] == 520 + 911


def test_slow_steps_are_fitted_to_the_time_at_the_fourth() -> None:
    lengths = _run(TimeBudget(seconds=60.0, planned_steps=200, started=0.0), [10.0])
    assert lengths[:3] == [200] * 3
    assert len(lengths) == 5  # at 10 seconds each, of which 40 were gone


def test_a_slow_first_step_does_not_cut_a_run_whose_others_are_quick() -> None:
    slow_first = [20.0, 0.1]
    lengths = _run(TimeBudget(seconds=100.0, planned_steps=10**6, started=0.0), slow_first)
    assert lengths[18] == 10**6
    assert len(lengths) > 700


def test_a_run_cut_at_its_first_steps_is_made_longer_when_they_become_quick() -> None:
    lengths = _run(TimeBudget(seconds=60.0, planned_steps=10**6, started=0.0), [4.0] * 4 + [0.1])
    assert lengths[3] < 20
    assert len(lengths) > 300


def test_the_steps_that_are_fitted_at_depend_on_no_clock() -> None:
    def fitted_at(seconds_per_step: float) -> list[int]:
        budget = TimeBudget(seconds=100.0, planned_steps=10**6, started=0.0, first_step=7)
        return [
            step for step in range(8, 60)
            if budget.fitted_steps(step, 10**6, step * seconds_per_step) is not None
        ]  # fmt: skip

    assert fitted_at(0.001) == fitted_at(1000.0) == [11, 17, 27, 47]
