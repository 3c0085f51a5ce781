import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future

import pytest

from serve.batcher import Batcher, BatchReport


class Model:
    """Doubles numbers, when it is let; remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_begin, self.has_begun = threading.Semaphore(0), threading.Semaphore(0)

    def compute(self, key: Hashable, items: list[int]) -> list[int]:
        self.has_begun.release()
        assert self.may_begin.acquire(timeout=10)
        self.batches.append(items)
        if -1 in items:
            raise ValueError("a bad item")
        return [2 * item for item in items]

    def let(self, times: int = 1) -> None:
        for _ in range(times):
            self.may_begin.release()


def _busy(model: Model, batcher: Batcher[int, int]) -> "Future[list[int]]":
    """Give the model something, so that what follows has to wait."""
    first = batcher.submit([0], cost=1)
    assert model.has_begun.acquire(timeout=10)
    return first


def test_what_waits_while_the_model_is_busy_shares_the_next_batch() -> None:
    model = Model()
    batcher = Batcher(model.compute, 8)
    first = _busy(model, batcher)
    jobs = [batcher.submit([number], cost=1) for number in (1, 2, 3)]
    model.let(2)
    assert first.result(10) == [0]
    assert [job.result(10) for job in jobs] == [[2], [4], [6]]
    assert model.batches == [[0], [1, 2, 3]]


def test_the_items_of_a_job_stay_together_and_a_batch_has_its_bound() -> None:
    model = Model()
    batcher = Batcher(model.compute, 4)
    _busy(model, batcher)
    sizes = [3, 2, 1, 6]  # the third fits beside the first, the last is too large for any
    jobs = [batcher.submit([size] * size, cost=size) for size in sizes]
    model.let(5)
    for size, job in zip(sizes, jobs, strict=True):
        assert job.result(10) == [2 * size] * size
    assert model.batches[1:] == [[3, 3, 3, 1], [2, 2], [6] * 6]


def test_jobs_of_different_keys_do_not_share_a_batch() -> None:
    model = Model()
    batcher = Batcher(model.compute, 8)
    _busy(model, batcher)
    jobs = [batcher.submit([number], cost=1, key=number % 2) for number in (1, 2, 3)]
    model.let(3)
    assert [job.result(10) for job in jobs] == [[2], [4], [6]]
    assert model.batches[1:] == [[1, 3], [2]]


def test_a_cancelled_job_is_not_computed() -> None:
    model = Model()
    batcher = Batcher(model.compute, 8)
    _busy(model, batcher)
    gone, stays = batcher.submit([1], cost=1), batcher.submit([2], cost=1)
    assert gone.cancel()
    model.let(2)
    assert stays.result(10) == [4]
    assert model.batches == [[0], [2]]


def test_a_bad_job_fails_alone() -> None:
    model = Model()
    batcher = Batcher(model.compute, 8)
    _busy(model, batcher)
    good, bad = batcher.submit([1], cost=1), batcher.submit([-1], cost=1)
    model.let(4)
    assert good.result(10) == [2]
    with pytest.raises(ValueError, match="a bad item"):
        bad.result(10)
    after = batcher.submit([5], cost=1)
    model.let()
    assert after.result(10) == [10]


def test_a_wrong_number_of_results_is_an_error() -> None:
    batcher = Batcher[int, int](lambda key, items: [1, 2, 3], 8)
    with pytest.raises(ValueError, match="3 results of 1 items"):
        batcher.submit([1], cost=1).result(10)


def test_batches_are_reported_with_how_full_they_were() -> None:
    reports: list[BatchReport] = []
    model = Model()
    batcher = Batcher(model.compute, 8, reports.append)
    _busy(model, batcher)
    jobs = [batcher.submit([1, 2], cost=2), batcher.submit([3], cost=2)]
    model.let(2)
    for job in jobs:
        job.result(10)
    assert [(r.num_jobs, r.num_items, r.fill) for r in reports] == [(1, 1, 1 / 8), (2, 3, 0.5)]
    assert reports[1].seconds_waited > 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_without_its_thread_nothing_is_taken(wait_until: Callable[..., float]) -> None:
    def end(report: BatchReport) -> None:
        raise SystemExit  # which ends a thread without a word

    model = Model()
    batcher = Batcher(model.compute, 8, end)
    _busy(model, batcher)
    model.let(1)
    wait_until(lambda: not batcher.is_alive)
    with pytest.raises(RuntimeError, match="has ended"):
        batcher.submit([1], cost=1)
