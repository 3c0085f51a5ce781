import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.data.fragments import Fragment, SubsetIndex
from ocr_model.data.order import EpochOrder, SampleRef, sequential
from ocr_model.errors import ConfigError

Key = tuple[str, int]


def _index(*sizes: int) -> SubsetIndex:
    """Return files of which every other row is used."""
    fragments = tuple(
        Fragment(f"{number}.parquet", 0, 2 * size) for number, size in enumerate(sizes)
    )
    return SubsetIndex(fragments, tuple(np.arange(size) * 2 for size in sizes))


def _order(
    index: SubsetIndex, epoch: int = 0, seed: int = 0, num_streams: int = 4, shuffle_rows: int = 7
) -> EpochOrder:
    return EpochOrder(index, seed, epoch, 8, num_streams, shuffle_rows)


def _keys(references: list[SampleRef]) -> list[Key]:
    """Return file and row of every sample, by slot."""
    keys = {
        int(slot): (reference.fragment.uri, int(row))
        for reference in references
        for row, slot in zip(reference.rows, reference.slots, strict=True)
    }
    assert sorted(keys) == list(range(sum(len(reference.slots) for reference in references)))
    return [keys[slot] for slot in sorted(keys)]


def _epoch(order: EpochOrder) -> list[Key]:
    return _keys(order.select(range(order.num_streams), 0, order.num_steps))


INDEX = _index(13, 1, 20, 9)  # 43 rows: 5 batches of 8 and 3 over


@settings(deadline=None, max_examples=50, database=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=5).filter(lambda sizes: sum(sizes) >= 8),
    st.integers(0, 5),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(1, 50),
)
def test_an_epoch_visits_no_sample_twice_and_leaves_out_less_than_a_batch(
    sizes: list[int], epoch: int, num_streams: int, shuffle_rows: int
) -> None:
    index = _index(*sizes)
    seen = _epoch(_order(index, epoch, num_streams=num_streams, shuffle_rows=shuffle_rows))
    all_keys = {
        (f.uri, int(row))
        for f, rows in zip(index.fragments, index.rows, strict=True)
        for row in rows
    }
    assert len(seen) == len(set(seen)) == sum(sizes) // 8 * 8
    assert set(seen) <= all_keys


def test_the_samples_left_out_are_others_in_another_epoch() -> None:
    visited = [set(_epoch(_order(INDEX, epoch))) for epoch in range(6)]
    assert len(set.union(*visited)) == 43


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_together_see_the_batches_that_one_rank_sees(world_size: int) -> None:
    order = _order(INDEX)
    per_rank = 4 // world_size
    for step in range(order.num_steps):
        whole = _keys(order.select(range(4), step, step + 1))
        parts = [
            _keys(order.select(range(rank * per_rank, (rank + 1) * per_rank), step, step + 1))
            for rank in range(world_size)
        ]
        assert [key for part in parts for key in part] == whole


def test_a_rank_never_touches_the_streams_of_another() -> None:
    order = _order(INDEX)
    parts = [set(_keys(order.select(range(s, s + 1), 0, order.num_steps))) for s in range(4)]
    assert sum(len(part) for part in parts) == len(set.union(*parts)) == 40


@pytest.mark.parametrize("streams", [range(4), range(2, 4)])
def test_many_steps_at_once_are_the_steps_one_by_one(streams: range) -> None:
    order = _order(INDEX)
    at_once = _keys(order.select(streams, 1, 5))
    one_by_one = [_keys(order.select(streams, step, step + 1)) for step in range(1, 5)]
    assert at_once == [key for step in one_by_one for key in step]


def test_an_order_depends_on_its_arguments_only() -> None:
    later = _order(INDEX, epoch=2)
    later.select(range(4), 3, 5)  # what was asked before does not matter
    assert _epoch(later) == _epoch(_order(INDEX, epoch=2))


def test_another_epoch_and_another_seed_have_another_order() -> None:
    first = _epoch(_order(INDEX))
    assert _epoch(_order(INDEX, epoch=1)) != first
    assert _epoch(_order(INDEX, seed=1)) != first


def test_rows_move_within_and_between_files() -> None:
    order = _epoch(_order(_index(200, 200), shuffle_rows=400))
    assert len({uri for uri, _ in order[:20]}) == 2
    rows = [row for _, row in order]
    assert rows != sorted(rows)


def test_a_small_shuffle_reads_few_files_at_a_time() -> None:
    order = _epoch(_order(_index(*[16] * 10), num_streams=1, shuffle_rows=16))
    assert len({uri for uri, _ in order[:16]}) == 1


def test_too_small_a_dataset_is_an_error() -> None:
    with pytest.raises(ConfigError, match="7 training samples do not fill one batch of 8"):
        _order(_index(3, 4))
    assert _order(_index(4, 4)).num_steps == 1


def test_streams_must_divide_the_batch() -> None:
    with pytest.raises(ConfigError, match="8 is not a multiple of 3 data streams"):
        _order(INDEX, num_streams=3)


def test_sequential_reading_goes_through_the_files_in_order() -> None:
    index = _index(3, 1, 4)
    everything = [
        (f"{file}.parquet", 2 * row) for file, size in enumerate((3, 1, 4)) for row in range(size)
    ]
    assert _keys(sequential(index, 0, 8)) == everything
    assert _keys(sequential(index, 2, 6)) == everything[2:6]
    assert _keys(sequential(index, 6, 99)) == everything[6:]
