from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.data.batching import BatchingConfig, Bucket, EpochPlan, make_buckets
from ocr_model.data.fragments import Fragment, SubsetIndex
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.errors import ConfigError
from ocr_model.image import ImageGeometry

Key = tuple[str, int]

GEOMETRY = ImageGeometry(width=64, fit="pad")
BATCHING = BatchingConfig(widths=(16, 32, 64), pixels_per_char=4)  # up to 4, 8, and more characters
BATCH_SIZE, NUM_STREAMS = 4, 2


def _index(*files: list[int]) -> SubsetIndex:
    """Return files whose rows have labels of these lengths."""
    fragments = tuple(Fragment(f"{n}.parquet", 0, len(file)) for n, file in enumerate(files))
    lengths = tuple(np.array(file, np.uint16) for file in files)
    return SubsetIndex(fragments, tuple(np.arange(len(file)) for file in files), lengths, lengths)


def _lengths(index: SubsetIndex) -> dict[Key, int]:
    return {
        (fragment.uri, int(row)): int(length)
        for fragment, rows, lengths in zip(
            index.fragments, index.rows, index.num_chars, strict=True
        )
        for row, length in zip(rows, lengths, strict=True)
    }


def _buckets(index: SubsetIndex, **changes: object) -> tuple[Bucket, ...]:
    batching = BATCHING.replace(**changes)
    return make_buckets(index, GEOMETRY, BATCH_SIZE, NUM_STREAMS, batching, None)


def _plan(
    index: SubsetIndex, epoch: int = 0, seed: int = 0, max_chars: int | None = None
) -> EpochPlan:
    return EpochPlan(_buckets(index), seed, epoch, NUM_STREAMS, 16, max_chars)


def _step(plan: EpochPlan, step: int, streams: range = range(NUM_STREAMS)) -> list[Key]:
    references, _ = plan.select(streams, step)
    keys = {
        int(slot): (reference.fragment.uri, int(row))
        for reference in references
        for row, slot in zip(reference.rows, reference.slots, strict=True)
    }
    return [keys[slot] for slot in range(len(keys))]


def _epoch(plan: EpochPlan) -> list[list[Key]]:
    return [_step(plan, step) for step in range(plan.num_steps)]


def _sorted_by_length(seed: int = 0) -> SubsetIndex:
    """Return one file of short labels, one of long ones, and one of all."""
    rng = np.random.default_rng(seed)
    spans = [(1, 5), (9, 13), (1, 13)]
    return _index(*(rng.integers(*span, size=60).tolist() for span in spans))


INDEX = _sorted_by_length()

ENOUGH = [4] * 16 + [8] * 8 + [12] * 4  # a batch of each width
FILES = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=40), max_size=4)


@settings(deadline=None, max_examples=40, database=None)
@given(FILES, st.integers(0, 3))
def test_an_epoch_takes_whole_batches_of_one_width_and_no_row_twice(
    found: list[list[int]], epoch: int
) -> None:
    index = _index(*found, ENOUGH)
    lengths = _lengths(index)
    plan = _plan(index, epoch)
    seen = _epoch(plan)
    keys = [key for step in seen for key in step]
    assert len(keys) == len(set(keys))
    assert len(lengths) - len(keys) < 16 + 8 + 4
    for number, step in enumerate(seen):
        width = plan.bucket(number).geometry.width
        assert len(step) == {16: 16, 32: 8, 64: 4}[width]
        assert {16 if lengths[k] <= 4 else 32 if lengths[k] <= 8 else 64 for k in step} == {width}


def test_streams_together_see_the_steps_that_one_worker_sees() -> None:
    plan = _plan(INDEX)
    for step in range(plan.num_steps):
        parts = [_step(plan, step, range(stream, stream + 1)) for stream in range(NUM_STREAMS)]
        assert [key for part in parts for key in part] == _step(plan, step)
        assert len({len(part) for part in parts}) == 1


def test_a_plan_depends_on_its_arguments_only() -> None:
    later = _plan(INDEX, epoch=2)
    _step(later, 7)  # what was asked before does not matter
    assert _epoch(later) == _epoch(_plan(INDEX, epoch=2))
    assert _epoch(later) != _epoch(_plan(INDEX, epoch=1))
    assert _epoch(later) != _epoch(_plan(INDEX, epoch=2, seed=1))


def test_without_widths_the_plan_is_the_plain_order() -> None:
    plan = EpochPlan((Bucket(INDEX, GEOMETRY, BATCH_SIZE),), 0, 0, NUM_STREAMS, 16)
    assert plan.num_steps == 45
    order = plan._order(0, 0)
    for step in (0, 1, 44):
        expected = order.select(range(NUM_STREAMS), step, step + 1)
        found, repeat = plan.select(range(NUM_STREAMS), step)
        assert repeat == 0
        assert [r.fragment for r in found] == [r.fragment for r in expected]
        assert all(np.array_equal(a.rows, b.rows) for a, b in zip(found, expected, strict=True))


def test_widths_are_mixed_evenly_but_not_regularly() -> None:
    plan = _plan(_index(np.random.default_rng(0).integers(1, 13, 3000).tolist()))
    widths = np.array([plan.bucket(step).geometry.width for step in range(plan.num_steps)])
    for width, count in Counter(widths.tolist()).items():
        taken = np.cumsum(widths == width)
        expected = count * np.arange(1, len(widths) + 1) / len(widths)
        assert np.abs(taken - expected).max() < 4
    gaps = np.diff(np.flatnonzero(widths == 16))
    assert len(set(gaps.tolist())) > 2


def test_ctc_gets_a_width_that_can_spell_the_label() -> None:
    rows = [np.arange(40)]
    chars, columns = np.full(40, 4, np.uint16), np.full(40, 7, np.uint16)
    columns[:20] = 4
    index = SubsetIndex((Fragment("a", 0, 40),), tuple(rows), (chars,), (columns,))
    batching = BatchingConfig(widths=(16, 64), pixels_per_char=4)
    narrow, wide = make_buckets(index, GEOMETRY, BATCH_SIZE, NUM_STREAMS, batching, 4)
    assert narrow.index.rows[0].tolist() == list(range(20))
    assert wide.index.rows[0].tolist() == list(range(20, 40))
    assert (narrow.batch_size, wide.batch_size) == (16, 4)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([2] * 40, "0 training samples want a width of 32 and do not fill a batch of 8"),
        ([2] * 7 + [6] * 20 + [12] * 20, "7 training samples want a width of 16"),
    ],
)
def test_a_width_that_would_never_be_trained_is_an_error(lengths: list[int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _buckets(_index(lengths))


@pytest.mark.parametrize(
    "settings", [{"widths": (64,)}, {"widths": (64, 32)}, {"pixels_per_char": 9.0}]
)
def test_batching_settings_without_effect_are_errors(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"rising|no effect"):
        BatchingConfig.model_validate(settings)


def test_a_curriculum_keeps_the_length_of_an_epoch_and_leaves_long_labels_out() -> None:
    lengths = _lengths(INDEX)
    full = sum(len(step) for step in _epoch(_plan(INDEX)))
    for max_chars in (3, 6, 9):
        plan = _plan(INDEX, max_chars=max_chars)
        seen = _epoch(plan)
        keys = Counter(key for step in seen for key in step)
        assert full - 16 < keys.total() <= full
        assert max(lengths[key] for key in keys) <= max_chars
        assert len(keys) > 0.8 * sum(length <= max_chars for length in lengths.values())
        repeats = [plan.select(range(1), step)[1] for step in range(plan.num_steps)]
        assert repeats == sorted(repeats)
        assert repeats[-1] > 0


def test_rows_that_come_again_come_in_another_order() -> None:
    plan = EpochPlan((Bucket(INDEX, GEOMETRY, BATCH_SIZE),), 0, 0, NUM_STREAMS, 200, 3)
    rounds: dict[int, list[Key]] = {}
    for step in range(plan.num_steps):
        repeat = plan.select(range(NUM_STREAMS), step)[1]
        rounds.setdefault(repeat, []).extend(_step(plan, step))
    assert len(rounds) > 2
    assert set(rounds[0]) & set(rounds[1])
    assert rounds[0] != rounds[1]
    assert all(len(keys) == len(set(keys)) for keys in rounds.values())


def test_a_curriculum_that_leaves_less_than_a_batch_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"up to 2 characters .* curriculum\.start_chars"):
        _plan(_index([2] * 3 + [3] * 20 + [6] * 20 + [12] * 20), max_chars=2)


def test_rendered_words_are_as_long_in_every_epoch() -> None:
    source = SyntheticSource(num_words=30)
    (fragment,) = source.fragments("train")
    first = source.labels(fragment)
    for epoch in (1, 5):
        later = [sample.label for sample in source.read(fragment, np.arange(30), epoch=epoch)]
        assert later != first
        assert [len(label) for label in later] == [len(str(label)) for label in first]
