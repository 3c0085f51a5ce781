from pathlib import Path

import pyarrow as pa
import pytest

from ocr_model.inference.bulk.items import Item
from ocr_model.inference.bulk.ledger import Ledger
from ocr_model.inference.bulk.places import Place, open_place
from ocr_model.inference.bulk.plan import Plan, Shard
from ocr_model.inference.bulk.progress import BatchProgress, read_progress
from ocr_model.inference.bulk.rows import error_row, filled_row, rows_table


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return open_place(str(tmp_path / "out"))


def _plan(place: Place, names: str, etag: str = "1") -> Shard:
    items = [Item(f"/in/{name}", 1, etag) for name in names]
    (shard,) = Plan(place).extend(items, unit_size=2, most=100)
    return shard


def _rows(shard: Shard, unit: int) -> pa.Table:
    """Of items of which `x` cannot be read."""
    return rows_table(
        [
            error_row(item, "bad: x", "m")
            if item.uri.endswith("x")
            else filled_row(item, "m", error="", text="read", confidence=1.0)
            for item in shard.items(unit)
        ]
    )


def _progress(done: int, total: int, errors: int) -> BatchProgress:
    return BatchProgress(done=done, total=total, errors=errors)


def test_an_output_that_is_not_begun_has_nothing(place: Place) -> None:
    assert read_progress(place) == _progress(0, 0, 0)


def test_units_count_as_they_are_written_and_again_when_their_shard_is_finished(
    place: Place,
) -> None:
    shard, ledger = _plan(place, "abcxe"), Ledger(place)
    assert read_progress(place) == _progress(0, 5, 0)
    ledger.write("00000000/000001", _rows(shard, 1))
    assert read_progress(place) == _progress(2, 5, 1)
    ledger.write("00000000/000002", _rows(shard, 2))
    assert read_progress(place) == _progress(4, 5, 1)  # the last unit has one, which is not asked
    ledger.write("00000000/000000", _rows(shard, 0))
    assert read_progress(place) == _progress(5, 5, 1)
    ledger.finish(shard)
    assert read_progress(place) == _progress(5, 5, 1)


def test_an_image_that_has_changed_counts_once(place: Place) -> None:
    first, ledger = _plan(place, "abx"), Ledger(place)
    for unit in range(first.num_units):
        ledger.write(f"00000000/{unit:06}", _rows(first, unit))
    ledger.finish(first)
    second = _plan(place, "x", etag="2")
    ledger.write("00000001/000000", _rows(second, 0))
    ledger.finish(second)
    assert read_progress(place) == _progress(3, 3, 1)


def test_a_folder_of_something_else_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "dishes.txt").write_text("all")
    with pytest.raises(ValueError, match="invalid literal"):
        read_progress(open_place(str(tmp_path)))
