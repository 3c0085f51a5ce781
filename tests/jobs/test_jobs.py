import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ocr_model.config import load_config
from ocr_model.errors import ConfigError
from ocr_model.ray_session import require_lasting
from ocr_model.training.config import RunConfig, TrainConfig
from ocr_model.training.detector_config import DetectorTrainConfig
from ocr_model.training.preview import PreviewConfig

ROOT = Path(__file__).parents[2]
DETECTOR_CONFIGS = sorted((ROOT / "jobs" / "configs").glob("*detector.yaml"))
CONFIGS = sorted({*(ROOT / "jobs" / "configs").glob("*.yaml")} - {*DETECTOR_CONFIGS})

TINY = (
    "model.backbone_width=0.25",
    "model.hidden=32",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.num_kv_heads=1",
    "model.feed_forward=64",
    "data.num_words=256",
    "data.num_validation_words=32",
    "training.epochs=1",
    "training.batch_size=32",
    "image.width=64",
)


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "120", **environment},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def _is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_config_loads(path: Path) -> None:
    assert load_config(TrainConfig, path).run.name


@pytest.mark.parametrize("path", DETECTOR_CONFIGS, ids=lambda path: path.stem)
def test_every_detector_config_loads(path: Path) -> None:
    assert "detector" in load_config(DetectorTrainConfig, path).run.name


def test_the_detector_job_trains_and_then_says_that_it_has(
    ray_cluster: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = [
        f"run.storage={tmp_path}",
        "data.pages.page_side={least: 160, most: 160}",
        "data.pages.scene_side={least: 160, most: 160}",
        "data.crops.side=64",
        "data.crops_per_epoch=8",
        "data.num_validation_pages=1",
        "model={channels: [16, 16, 16, 16], num_blocks: [1, 1, 1, 1]}",
        "training={batch_size: 4, epochs: 1, precision: fp32, max_minutes: null}",
    ]
    monkeypatch.setattr(sys, "argv", ["train_detector.py", "--set", *settings])
    job = str(ROOT / "jobs" / "train_detector.py")
    runpy.run_path(job, run_name="__main__")
    first = capsys.readouterr().out
    assert "H-mean" in first
    assert "Ended: all epochs are done. " in first
    assert (tmp_path / "detector" / "best" / "weights.safetensors").is_file()
    assert (tmp_path / "detector" / "report" / "index.html").is_file()
    runpy.run_path(job, run_name="__main__")
    assert "Run 'detector' had ended before" in capsys.readouterr().out


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_job_takes_the_storage_that_a_config_names(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    storage = load_config(TrainConfig, path).run.storage
    if storage != RunConfig().storage:
        require_lasting("run.storage", storage)
    else:
        with pytest.raises(ConfigError, match=r"run\.storage=runs is relative"):
            require_lasting("run.storage", storage)


@pytest.mark.parametrize("storage", ["s3://bucket/runs", "~/runs", "/mnt/runs"])
def test_a_job_takes_a_bucket_and_an_absolute_folder(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    require_lasting("run.storage", storage)


def test_no_config_names_a_folder_outside_the_project() -> None:
    assert all("/data/" not in path.read_text().replace("data.path", "") for path in CONFIGS)


def test_help_lists_the_settings_without_starting_ray() -> None:
    finished = _run(sys.executable, "jobs/train.py", "--help")
    assert finished.returncode == 0
    assert "training.early_stopping_patience = 8" in finished.stdout


def test_a_wrong_setting_is_one_clear_line() -> None:
    finished = _run(sys.executable, "jobs/train.py", "--set", "training.epoch=3")
    assert finished.returncode == 2
    assert "did you mean 'training.epochs'?" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_missing_bundle_is_one_clear_line(tmp_path: Path) -> None:
    finished = _run(sys.executable, "jobs/evaluate.py", "--set", f"model={tmp_path}")
    assert finished.returncode == 1
    assert "BundleError: cannot read" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_preview_takes_every_training_config(path: Path) -> None:
    assert load_config(PreviewConfig, path).preview.num_words == 8


def test_a_preview_names_its_file_or_why_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "words.png"
    monkeypatch.setattr(sys, "argv", ["preview_data.py", "--set", f"preview.output={output}"])
    runpy.run_path(str(ROOT / "jobs" / "preview_data.py"), run_name="__main__")
    assert capsys.readouterr().out == f"Preview: {output}\n"
    assert output.read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(sys, "argv", [*sys.argv[:2], f"preview.output={output / 'inside'}"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(ROOT / "jobs" / "preview_data.py"), run_name="__main__")
    assert str(caught.value.code).startswith("ConfigError: cannot write preview.output")


def _require_only_loopback(pids: list[int]) -> None:
    """Ray binds its gRPC ports, behind the token, to all addresses; no port to ours alone."""
    own = {a.address for at in psutil.net_if_addrs().values() for a in at} - {"127.0.0.1", "::1"}
    for process in [p for pid in pids for p in psutil.Process(pid).children(recursive=True)]:
        listening = (c.laddr for c in process.net_connections("tcp") if c.status == "LISTEN")
        assert own.isdisjoint(address.ip for address in listening)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    environment = {
        "OCR_CLUSTER_DIR": f"/tmp/ocr-{os.getpid()}",  # Unix sockets allow only short paths
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    # A Ray of somebody else's beside it holds the port that Ray's agents take by default.
    with socket.create_server(("127.0.0.2", 52365)):
        started = _run("cluster/local.sh", "up", "2", **environment)
    assert started.returncode == 0, started.stderr
    assert "2 nodes are up" in started.stderr
    pids = [int(pid) for pid in (Path(environment["OCR_CLUSTER_DIR"]) / "pids").read_text().split()]
    _require_only_loopback(pids)
    yield environment
    ended = _run("cluster/local.sh", "down", **environment)
    assert ended.returncode == 0, ended.stderr
    assert not any(_is_running(pid) for pid in pids)
    assert not Path(environment["OCR_CLUSTER_DIR"]).exists()


def test_a_job_submitted_to_a_cluster_trains_and_its_bundle_reads(
    cluster: dict[str, str], tmp_path: Path
) -> None:
    command = ["cluster/local.sh", "submit", "python", "jobs/train.py", "--set"]
    settings = [f"run.storage={tmp_path}", "run.name=submitted", "scaling.num_workers=2", *TINY]
    submitted = _run(*command, *settings, **cluster)
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    assert "Report:" in submitted.stdout
    folder = tmp_path / "submitted"
    assert (folder / "report" / "index.html").is_file()
    scored = _run(
        sys.executable, "jobs/evaluate.py", "--set", f"model={folder / 'best'}",
        "data.num_validation_words=20", f"output={tmp_path / 'words.parquet'}",
    )  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    figures = json.loads(scored.stdout.splitlines()[-1])
    assert figures["num_words"] == 20
    assert {"word_accuracy", "word_accuracy_exact", "cer", "wer", "ned", "bleu"} <= figures.keys()
    assert figures["words_per_second"] > 0


def test_a_relative_storage_in_a_submitted_job_is_refused(cluster: dict[str, str]) -> None:
    submitted = _run("cluster/local.sh", "submit", "python", "jobs/train.py", **cluster)
    assert submitted.returncode != 0
    assert "run.storage" in submitted.stdout + submitted.stderr


def test_a_node_that_does_not_start_is_told_at_once_with_its_log(tmp_path: Path) -> None:
    (tmp_path / "ray").write_text("#!/bin/sh\necho the port is taken\nexit 3\n")
    (tmp_path / "ray").chmod(0o755)
    environment = {
        "OCR_CLUSTER_DIR": str(tmp_path / "state"),
        "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    began = time.monotonic()
    started = _run("cluster/local.sh", "up", "1", **environment)
    assert started.returncode == 1
    assert time.monotonic() - began < 30
    assert "the end of head.log:\nthe port is taken" in started.stderr
    assert not (tmp_path / "state").exists()


def test_up_twice_is_refused_and_the_cluster_stays(cluster: dict[str, str]) -> None:
    again = _run("cluster/local.sh", "up", "1", **cluster)
    assert again.returncode == 1
    assert "is up already" in again.stderr
    pids = (Path(cluster["OCR_CLUSTER_DIR"]) / "pids").read_text().split()
    assert all(_is_running(int(pid)) for pid in pids)


def test_ctrl_c_in_training_says_how_to_go_on_and_leaves_no_process(tmp_path: Path) -> None:
    long = ["run.name=long", *TINY, "training.epochs=200", "training.checkpoint_every_steps=1"]
    process = subprocess.Popen(
        [sys.executable, "jobs/train.py", "--set", f"run.storage={tmp_path}", *long],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not (tmp_path / "long" / "last.pt").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in errors
    assert "Traceback" not in errors
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
