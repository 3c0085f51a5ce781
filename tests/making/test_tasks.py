import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocr_model.config import load_config
from ocr_model.errors import ClusterError, ConfigError, DatasetError
from ocr_model.making import tasks
from ocr_model.making.config import MakeDatasetConfig
from ocr_model.making.plan import Shard
from ocr_model.making.shards import make_shard
from ocr_model.making.tasks import begin, make_dataset

RENDERED = ("data.num_words=60", "data.num_validation_words=7", "rows_per_shard=25")


def _config(output: Path, *overrides: str) -> MakeDatasetConfig:
    return load_config(MakeDatasetConfig, None, [f"output={output}", *overrides])


def _shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.parquet")}


def test_a_dataset_is_made_once_and_a_damaged_shard_comes_back_with_the_same_bytes(
    ray_cluster: None, tmp_path: Path
) -> None:
    config = _config(tmp_path / "made", *RENDERED)
    events: list[dict[str, Any]] = []
    card = make_dataset(begin(config), events.append)
    first = _shards(tmp_path / "made")
    assert {name: report.num_kept for name, report in card.reports.items()} == {
        "train": 60,
        "validation": 7,
    }
    assert [event["event"] for event in events] == ["plan", "shard", "shard", "shard", "shard"]

    cut = tmp_path / "made" / "train" / "train-00001-of-00003.parquet"
    cut.write_bytes(cut.read_bytes()[:-3000])
    (tmp_path / "made" / "validation" / "validation-00000-of-00001.parquet").unlink()
    events.clear()
    make_dataset(begin(config), events.append)
    assert list(events[0]["faults"]) == ["train/train-00001-of-00003.parquet"]
    assert {event["name"] for event in events[1:]} == {
        "train/train-00001-of-00003.parquet",
        "validation/validation-00000-of-00001.parquet",
    }
    assert _shards(tmp_path / "made") == first

    events.clear()
    make_dataset(begin(config), events.append)
    assert [(event["event"], event["shards_there"]) for event in events] == [("plan", 4)]


def test_a_shard_whose_worker_is_killed_is_made_by_another(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "killed"
    monkeypatch.setattr(tasks, "make_shard", _killed_once(mark))
    card = make_dataset(begin(_config(tmp_path / "made", *RENDERED)))
    assert mark.exists()
    assert card.reports["train"].num_kept == 60


def _killed_once(mark: Path) -> Callable[..., Any]:
    def make_or_die(shard: Shard, config: MakeDatasetConfig, digest: str) -> object:
        if shard.name.endswith("00001-of-00003.parquet") and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return make_shard(shard, config, digest)

    return make_or_die


def test_workers_that_are_always_lost_end_the_run_with_a_hint(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(shard: Shard, config: MakeDatasetConfig, digest: str) -> object:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(tasks, "make_shard", die)
    monkeypatch.setattr(tasks, "_MAX_LOSSES", 0)
    with pytest.raises(ClusterError, match="the same command goes on"):
        make_dataset(begin(_config(tmp_path / "made", *RENDERED, "max_tasks=1")))


def test_a_damaged_source_is_named_without_a_workers_traceback(
    ray_cluster: None, tmp_path: Path, write_words: Callable[..., Path]
) -> None:
    path = write_words(tmp_path / "words.parquet", [f"word{n}" for n in range(120)])
    data = bytearray(path.read_bytes())
    data[4:2000] = bytes(1996)  # the header of the first page is there
    path.write_bytes(data)
    settings = ("data.source=parquet", f"data.path={path}", "rows_per_shard=50")
    with pytest.raises(DatasetError, match=r"row group 0 of .*words\.parquet is damaged") as caught:
        make_dataset(begin(_config(tmp_path / "made", *settings)))
    assert "Traceback" not in str(caught.value)


def test_a_source_whose_rows_are_all_bad_is_an_error_that_counts_them(
    ray_cluster: None, tmp_path: Path, write_words: Callable[..., Path]
) -> None:
    bad = {0: b"", 1: b"no picture", 2: b""}
    path = write_words(tmp_path / "words.parquet", ["a", "b", "c"], bad)
    config = _config(tmp_path / "made", "data.source=parquet", f"data.path={path}")
    with pytest.raises(DatasetError, match=r"none of 3 rows .*'empty': 2"):
        make_dataset(begin(config))


def test_more_tasks_than_shards_and_one_task_make_the_same_files(
    ray_cluster: None, tmp_path: Path
) -> None:
    make_dataset(begin(_config(tmp_path / "one", *RENDERED, "max_tasks=1")))
    make_dataset(begin(_config(tmp_path / "many", *RENDERED, "max_tasks=50")))
    assert _shards(tmp_path / "one") == _shards(tmp_path / "many")


def test_a_source_that_is_not_there_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no data at"):
        begin(_config(tmp_path / "made", "data.source=parquet", f"data.path={tmp_path}/none"))
    assert not (tmp_path / "made").exists()


def test_a_relative_output_in_a_submitted_job_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    with pytest.raises(ConfigError, match="output=made is relative to the copy"):
        begin(_config(Path("made")))
    assert not Path("made").exists()
