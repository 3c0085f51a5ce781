import io

from rich.console import Console

from ocr_model.making.console import MakingConsole

PLAN = {
    "event": "plan",
    "output": "/made",
    "rows": {"train": 3000, "validation": 50},
    "shards": 4,
    "shards_there": 1,
    "rows_there": 1000,
    "faults": {"train/train-00001-of-00003.parquet": "not whole"},
}
SHARD = {"event": "shard", "name": "x", "rows": 1000, "kept": 998, "dropped": {"empty": 2}}


def _shown(*events: dict[str, object], is_terminal: bool) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=is_terminal, width=120)
    with MakingConsole(console) as shown:
        for event in events:
            shown.report(event)
        shown.show_end()
    return text.getvalue()


def test_a_log_has_the_plan_what_is_made_again_and_the_end() -> None:
    lines = _shown(PLAN, SHARD, is_terminal=False).splitlines()
    assert lines[:3] == [
        "rows: train 3,000, validation 50; 4 shards in /made",
        "1 shards are there already",
        "train/train-00001-of-00003.parquet is made again: not whole",
    ]
    assert lines[3].startswith("made 1,000 rows in 0 s, ")
    assert lines[3].endswith("dropped: 2 empty")


def test_a_terminal_has_a_bar_with_the_rate() -> None:
    assert "images/s" in _shown(PLAN, SHARD, is_terminal=True)


def test_of_a_finished_dataset_no_rate_is_claimed() -> None:
    finished = {**PLAN, "shards_there": 4, "rows_there": 3050, "faults": {}}
    assert "images/s" not in _shown(finished, is_terminal=False)
