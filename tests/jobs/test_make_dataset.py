import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from ocr_model.config import load_config
from ocr_model.making.config import MakeDatasetConfig
from ocr_model.making.plan import make_plan
from ocr_model.making.shards import encode_shard

ROOT = Path(__file__).parents[2]
SETTINGS = ("data.num_words=2000", "data.num_validation_words=50", "rows_per_shard=20")


def _command(*settings: str) -> list[str]:
    return [sys.executable, "jobs/make_dataset.py", "--set", *settings]


def _run(*settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(*settings),
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def _finished(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.parquet")}


def test_a_job_killed_midway_goes_on_and_gives_exactly_the_planned_rows(tmp_path: Path) -> None:
    output = tmp_path / "made"
    settings = (f"output={output}", *SETTINGS)
    process = psutil.Popen(_command(*settings), cwd=ROOT, stdout=subprocess.DEVNULL)
    while len(_finished(output)) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    children = process.children(recursive=True)
    writers = [child for child in children if not child.name().endswith("Agent")]  # these linger
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(writers, timeout=60)
    assert not alive
    before = _finished(output)
    assert len(before) < 103
    assert not (output / "card.json").exists()

    again = _run(*settings)
    assert again.returncode == 0, again.stderr
    assert f"{len(before)} shards are there already" in again.stdout
    assert f"data.path={output}/train data.validation_path={output}/validation" in again.stdout
    assert not list(output.rglob("*.tmp"))
    assert pq.read_table(output / "train").num_rows == 2000
    assert pq.read_table(output / "validation").num_rows == 50
    config = load_config(MakeDatasetConfig, None, settings)
    plan = make_plan(config)
    assert _finished(output) == {shard.name for shard in plan.shards}
    for shard in plan.shards[::20]:
        data, _ = encode_shard(shard, config, plan.digest)
        assert (output / shard.name).read_bytes() == data.to_pybytes()

    other = _run(*settings, "data.seed=1")
    assert other.returncode == 1
    assert other.stderr.strip().endswith(
        "data.seed was 0, is 1. Give another output, or these settings"
    )
    assert "Traceback" not in other.stderr


def test_an_output_that_cannot_be_written_to_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    finished = _run(f"output={tmp_path / 'file' / 'made'}")
    assert finished.returncode == 1
    assert "DatasetError: cannot write to output" in finished.stderr
    assert "Traceback" not in finished.stderr
