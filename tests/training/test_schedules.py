import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.training.schedules import (
    ScheduleName,
    learning_rate_factor,
    teacher_forcing_probability,
)


def _factors(name: ScheduleName, num_steps: int, warmup: float) -> list[float]:
    return [learning_rate_factor(name, step, num_steps, warmup) for step in range(num_steps)]


@pytest.mark.parametrize("num_steps", [10, 37, 1000])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.15, 0.3, 0.5])
def test_one_cycle_equals_that_of_torch(num_steps: int, warmup: float) -> None:
    if warmup * num_steps == 1:
        warmup += 0.001  # torch divides by zero there
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=num_steps, pct_start=warmup, cycle_momentum=False
    )
    expected = []
    for step in range(num_steps):
        expected.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if step + 1 < num_steps:
            scheduler.step()
    assert _factors("one_cycle", num_steps, warmup) == pytest.approx(expected, abs=1e-12)


def test_cosine_rises_linearly_and_falls_to_zero() -> None:
    factors = _factors("cosine", 101, 0.2)
    assert factors[:3] == pytest.approx([1 / 20.2, 2 / 20.2, 3 / 20.2])
    assert max(factors) == pytest.approx(1, abs=1e-3)
    assert factors[:20] == sorted(factors[:20])
    assert factors[20:] == sorted(factors[20:], reverse=True)
    assert factors[-1] == pytest.approx(0)
    middle = (19.2 + 100) / 2
    assert factors[59] > 0.5 > factors[60]
    assert 59 < middle < 60


def test_cosine_without_warmup_begins_near_the_peak() -> None:
    factors = _factors("cosine", 100, 0.0)
    assert factors[0] == pytest.approx(1, abs=1e-3)
    assert factors == sorted(factors, reverse=True)


def test_constant_rises_linearly_and_stays() -> None:
    factors = _factors("constant", 10, 0.4)
    assert factors == pytest.approx([0.25, 0.5, 0.75, *[1.0] * 7])
    assert _factors("constant", 5, 0.0) == [1.0] * 5


@settings(deadline=None, database=None)
@given(
    st.sampled_from(["one_cycle", "cosine", "constant"]),
    st.integers(1, 500),
    st.integers(0, 600),
    st.floats(0, 0.99),
)
def test_a_factor_is_between_zero_and_one_at_any_step(
    name: ScheduleName, num_steps: int, step: int, warmup: float
) -> None:
    factor = learning_rate_factor(name, step, num_steps, warmup)
    assert 0 <= factor <= 1 + 1e-12
    if step >= max(num_steps - 1, 1):
        assert factor == learning_rate_factor(name, step + 1, num_steps, warmup)


def test_teacher_forcing_falls_linearly_by_epoch() -> None:
    values = [teacher_forcing_probability(epoch, 1.0, 0.6, 5) for epoch in range(7)]
    assert values == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6, 0.6, 0.6])


def test_teacher_forcing_of_a_single_epoch_is_that_of_the_start() -> None:
    assert teacher_forcing_probability(0, 1.0, 0.5, 1) == 1.0
