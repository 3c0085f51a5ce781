from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocr_model.errors import BatchError
from ocr_model.inference.bulk.items import Item, items_table, sorted_items, table_items
from ocr_model.inference.bulk.ledger import Counts, Ledger
from ocr_model.inference.bulk.places import open_place
from ocr_model.inference.bulk.plan import Plan, Shard, Unit
from ocr_model.inference.bulk.rows import error_row, rows_table

Extend = Callable[..., list[Shard]]


def _items(names: str, etag: str = "1") -> list[Item]:
    return [Item(f"/in/{name}", 1, etag) for name in names]


@pytest.fixture
def extend(tmp_path: Path) -> Extend:
    def run(items: list[Item], unit_size: int = 2) -> list[Shard]:
        plan = Plan(open_place(str(tmp_path)))
        return list(plan.extend(items, unit_size=unit_size, most=100))

    return run


def _named(shard: Shard) -> str:
    return "".join(item.uri[-1] for item in shard.items())


def test_what_is_planned_is_not_planned_again(extend: Extend) -> None:
    assert [_named(shard) for shard in extend(_items("abcde"))] == ["abcde"]
    assert extend(_items("abcde")) == []


def test_what_is_new_or_has_changed_is_planned_behind_the_rest(extend: Extend) -> None:
    extend(_items("abde"))
    (second,) = extend(sorted([*_items("ace"), *_items("bd", "2")], key=lambda item: item.key))
    assert _named(second) == "bcd"
    assert second.replaced() == {(0, 0): _items("b", "2"), (0, 1): _items("d", "2")}
    (third,) = extend(sorted([*_items("abce"), *_items("d", "3")], key=lambda item: item.key))
    assert third.replaced() == {(1, 0): _items("b"), (1, 1): _items("d", "3")}
    assert third.number == 2


def test_the_first_shards_are_small_and_all_items_are_in_one(tmp_path: Path) -> None:
    plan = Plan(open_place(str(tmp_path)))
    items = [Item(f"/in/{number:06}", 1, "") for number in range(8_500)]
    shards = list(plan.extend(iter(items), unit_size=64, most=3_000))
    assert [shard.table.num_rows for shard in shards] == [1_000, 2_000, 3_000, 2_500]
    units: list[Unit] = []
    for shard in Plan(open_place(str(tmp_path))).shards(range(4)):
        units += shard.units_of(range(shard.num_units))
    assert [item for unit in units for item in unit.items] == items
    assert {len(unit.items) for unit in units} == {64, 40, 16, 56, 4}


def test_two_runs_at_once_meet_at_the_number_of_a_shard(tmp_path: Path) -> None:
    place = open_place(str(tmp_path))
    first, second = Plan(place), Plan(place)
    list(first.extend(_items("ab"), unit_size=2, most=100))
    with pytest.raises(BatchError, match="another run writes to"):
        list(second.extend(_items("ab"), unit_size=2, most=100))


def test_a_changed_input_is_in_the_rows_once(extend: Extend, tmp_path: Path) -> None:
    ledger = Ledger(open_place(str(tmp_path)))

    def read(shard: Shard) -> None:
        for unit in shard.units_of(range(shard.num_units)):
            assert ledger.begin(unit.name)
            ledger.write(unit.name, rows_table([error_row(i, "bad: x", "m") for i in unit.items]))
        ledger.finish(shard)

    (first,) = extend(_items("abcd"))
    read(first)
    (second,) = extend([*_items("a"), *_items("b", "2"), *_items("cd")])
    read(second)
    ledger.finish(second)  # after a crash, again
    rows = [
        (row["uri"], row["etag"])
        for shard, unit in ((0, 0), (0, 1), (1, 0))
        for row in ledger.read(f"{shard:08}/{unit:06}").to_pylist()
    ]
    assert sorted(rows) == [("/in/a", "1"), ("/in/b", "2"), ("/in/c", "1"), ("/in/d", "1")]
    assert ledger.done_shards() == {0, 1}
    assert ledger.done_units(0) == {0, 1}
    assert ledger.totals() == Counts(4, 4, 0, 4, ledger.totals().errors)
    assert ledger.totals().errors == {"bad": 4}
    listed = (tmp_path / "quarantine" / "00000000" / "000000.jsonl").read_text()
    assert "/in/a" in listed
    assert "/in/b" not in listed


def test_a_unit_that_was_begun_and_not_written_says_so(tmp_path: Path) -> None:
    ledger = Ledger(open_place(str(tmp_path)))
    assert ledger.begin("00000000/000000")
    assert not ledger.begin("00000000/000000")
    ledger.write("00000000/000000", rows_table([]))
    assert ledger.begin("00000000/000000")


def test_items_are_sorted_on_disk_where_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocr_model.inference.bulk.items._SORTED_AT_ONCE", 7)

    def shuffled() -> Iterator[Item]:
        return (Item(f"/in/{number * 37 % 101:03}", number) for number in range(101))

    found = list(sorted_items(shuffled()))
    assert found == sorted(shuffled(), key=lambda item: item.key)


def test_names_that_are_no_utf8_come_back_from_a_table() -> None:
    items = [Item("/in/\udcff.png", 3, "x", "a\udc80", 7)]
    assert list(table_items(items_table(items))) == items
    assert rows_table([error_row(items[0], "a: b", "m")])["uri"].to_pylist() == ["/in/\\udcff.png"]
