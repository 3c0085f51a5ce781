import importlib
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
from ray import cloudpickle

from ocr_model.config import load_config
from ocr_model.errors import BatchError, ClusterError, ConfigError, StorageError
from ocr_model.inference.batch import read_batch
from ocr_model.inference.bulk.config import BatchConfig
from ocr_model.inference.bulk.manifest import BatchResult, begin

Read = Callable[..., BatchResult]


def _config(folder: Path, *settings: str) -> BatchConfig:
    given = [f"input={folder / 'in'}", f"output={folder / 'out'}", "mode=words", *settings]
    return load_config(BatchConfig, None, given)


@pytest.fixture
def touchy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Return the readers of `bulk/conftest.py`, by value: Ray's workers cannot import them."""
    source = (Path(__file__).parent / "bulk" / "conftest.py").read_text(encoding="utf-8")
    (tmp_path / "touchy_by_value.py").write_text(source.split("'''")[1], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.reload(importlib.import_module("touchy_by_value"))
    cloudpickle.register_pickle_by_value(module)
    return module.Touchy  # type: ignore[no-any-return]  # found by its name


@pytest.fixture
def read(ray_cluster: None, tmp_path: Path, touchy: Callable[[], Any]) -> Read:
    """Return a function of settings that reads `in` to `out`."""

    def run(
        *settings: str, report: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> BatchResult:
        pool = ("pool.max_readers=1", "pool.fetchers=1")
        return read_batch(begin(_config(tmp_path, *pool, *settings)), report, touchy)

    return run


def _fill(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _title(process: psutil.Process) -> str:
    try:
        return "".join(process.cmdline())
    except psutil.Error:  # it has ended
        return ""


def _rows(folder: Path) -> dict[str, str]:
    rows = pq.read_table(folder / "out" / "rows").to_pylist()
    named = {Path(row["uri"]).name: row["error"] or row["text"] for row in rows}
    assert len(named) == len(rows)
    return named


def test_a_folder_is_read_once_and_a_rerun_reads_what_is_new_or_changed(
    read: Read, tmp_path: Path
) -> None:
    _fill(tmp_path, {f"{n:03}.png": b"word %d" % n for n in range(40)})
    result = read("unit_images=7")
    assert (result.reason, result.counts.images, result.totals.images) == ("complete", 40, 40)
    assert _rows(tmp_path) == {f"{n:03}.png": f"word {n}" for n in range(40)}

    report = (tmp_path / "out" / "report.html").read_bytes()
    assert read("unit_images=7").counts.images == 0
    assert (tmp_path / "out" / "report.html").read_bytes() == report
    _fill(tmp_path, {"003.png": b"changed", "0035.png": b"new"})
    result = read("unit_images=7")
    assert (result.counts.images, result.totals.images) == (2, 41)
    rows = _rows(tmp_path)
    assert len(rows) == 41
    assert (rows["003.png"], rows["0035.png"], rows["004.png"]) == ("changed", "new", "word 4")
    manifest = json.loads((tmp_path / "out" / "run.json").read_text())
    assert manifest["is_complete"]
    assert manifest["counts"]["images"] == 41
    assert [run["images"] for run in manifest["runs"]] == [40, 0, 2]


def test_an_image_that_kills_its_process_is_found_out_and_the_others_are_read(
    read: Read, tmp_path: Path
) -> None:
    _fill(tmp_path, {f"{n}.png": b"word" for n in range(6)} | {"2.png": b"kill", "4.png": b""})
    result = read("unit_images=3", "tries=2")
    assert result.is_complete
    rows = _rows(tmp_path)
    assert rows.pop("2.png") == "crashed: the process that read it ended by SIGKILL 2 times"
    assert set(rows.values()) == {"word", ""}
    listed = list((tmp_path / "out" / "quarantine").rglob("*.jsonl"))
    assert [json.loads(path.read_text())["uri"] for path in listed] == [f"{tmp_path}/in/2.png"]


def test_too_many_errors_stop_the_run_and_the_rest_stays_to_be_read(
    read: Read, tmp_path: Path
) -> None:
    _fill(tmp_path, {f"{n:03}.png": bytes(101) for n in range(200)})
    settings = ("unit_images=2", "max_image_bytes=100", "judged_from=10", "max_error_rate=0.3")
    result = read(*settings)
    assert "could not be read, more than max_error_rate=0.3" in result.reason
    assert 10 <= result.counts.images < 200
    assert result.counts.errors["too_large"] == result.counts.images


def test_ctrl_c_lets_the_units_in_flight_end_and_the_next_run_goes_on(
    read: Read, tmp_path: Path
) -> None:
    _fill(tmp_path, {f"{n:03}.png": b"word" for n in range(300)})
    events: list[str] = []

    def interrupt(event: dict[str, Any]) -> None:
        events.append(event["event"])
        if event["event"] == "unit" and "stopping" not in events:
            assert threading.current_thread() is threading.main_thread()
            signal.raise_signal(signal.SIGINT)

    result = read("unit_images=2", report=interrupt)
    assert result.reason == "interrupted"
    done = len(_rows(tmp_path))
    assert 2 <= done == result.counts.images < 300
    assert not list((tmp_path / "out" / "attempts").rglob("0000*/0*"))
    result = read("unit_images=50")
    assert result.is_complete
    assert result.counts.images == 300 - done
    assert len(_rows(tmp_path)) == 300


def test_workers_that_are_killed_are_replaced_and_nothing_is_lost_or_doubled(
    read: Read, tmp_path: Path
) -> None:
    _fill(tmp_path, {f"{n:03}.png": b"%d" % n for n in range(300)})
    killed: list[int] = []

    def kill(event: dict[str, Any]) -> None:
        if event["event"] != "unit" or len(killed) >= 3:
            return
        for process in psutil.Process().children(recursive=True):
            if process.pid not in killed and "ReadImages" in _title(process):
                killed.append(process.pid)
                os.kill(process.pid, signal.SIGKILL)
                return

    assert read("unit_images=5", report=kill).is_complete
    assert len(killed) == 3
    assert _rows(tmp_path) == {f"{n:03}.png": str(n) for n in range(300)}


def test_an_output_that_takes_no_more_ends_the_run_in_its_own_words(
    read: Read, tmp_path: Path
) -> None:
    _fill(tmp_path, {f"{n}.png": b"word" for n in range(9)})
    blocked = tmp_path / "out" / "rows" / "00000000"

    def block(event: dict[str, Any]) -> None:
        if event["event"] == "planned" and not blocked.exists():
            blocked.parent.mkdir(parents=True)
            blocked.touch()

    with pytest.raises(StorageError, match=r"could not write \d+ bytes to .*run the same command"):
        read("unit_images=3", report=block)
    blocked.unlink()
    assert read("unit_images=3").is_complete
    assert len(_rows(tmp_path)) == 9


def test_an_output_of_other_settings_is_refused_and_both_are_named(tmp_path: Path) -> None:
    _fill(tmp_path, {"1.png": b"word"})
    begin(_config(tmp_path))
    with pytest.raises(BatchError, match=r"reader\.kind was 'torch', is 'onnx'"):
        begin(_config(tmp_path, "reader.kind=onnx"))
    with pytest.raises(BatchError, match=r"config\.mode was 'words', is 'pages'"):
        begin(_config(tmp_path, "mode=pages"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    with pytest.raises(BatchError, match=r"has no run\.json but holds file"):
        begin(_config(tmp_path, f"output={tmp_path / 'other'}"))


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (["input={folder}/none"], StorageError, "cannot list"),
        (["output={folder}/in/out"], ConfigError, "must not be in each other"),
        (["output={folder}/in/1.png/out"], ConfigError, "must not be in each other"),
        (["output=/proc/none"], StorageError, "has 0 bytes free"),
        (["output={folder}/file/out"], StorageError, "could not write"),
        (["input={folder}/in/*.jpg"], BatchError, "there is nothing to read"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_read(
    tmp_path: Path, settings: list[str], error: type[Exception], message: str
) -> None:
    _fill(tmp_path, {"1.png": b"word"})
    (tmp_path / "file").touch()
    with pytest.raises(error, match=message):
        begin(_config(tmp_path, *(setting.format(folder=tmp_path) for setting in settings)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["outputs=[json]"], "mode=words has no pages"),
        (["reader.orientation=upright"], "mode=words has no pages"),
        (["input_kind=files", "column=image"], "column=image is of tables"),
        (["pool.max_readers=1", "pool.min_readers=2"], "is below"),
    ],
)
def test_settings_without_effect_are_refused(
    tmp_path: Path, settings: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        _config(tmp_path, *settings)


def test_a_cluster_without_room_for_a_reader_says_what_it_has(read: Read, tmp_path: Path) -> None:
    _fill(tmp_path, {"1.png": b"word"})
    with pytest.raises(ClusterError, match="a reader takes 100 CPUs"):
        read("pool.cpus_per_reader=100")
