import io
import json
import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from ocr_model.data.index import index_dataset
from ocr_model.data.ingest import RayData
from ocr_model.data.loading import Batch
from ocr_model.errors import (
    CheckpointError,
    ClusterError,
    ConfigError,
    DatasetError,
    NonFiniteLossError,
)
from ocr_model.ray_session import connected
from ocr_model.training.config import ScalingConfig, TrainConfig
from ocr_model.training.local_data import build_local_data
from ocr_model.training.outcome import OUTCOME_FILE
from ocr_model.training.recognition import train
from ocr_model.training.recognizer_trainer import run_training
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.run_state import BEST, LAST
from ocr_model.training.trainer import require_resources


def _config(storage: Path, name: str, **training: object) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "run": {"storage": str(storage), "name": name},
            "data": {
                "source": "synthetic",
                "num_words": 160,
                "num_validation_words": 21,
                "lexicon": {"max_chars": 12},
            },
            "image": {"height": 32, "width": 64},
            "text": {"max_chars": 12},
            "model": {
                "name": "resnet_transformer",
                "backbone": "resnet10",
                "backbone_width": 0.25,
                "hidden": 32,
                "num_layers": 1,
                "num_heads": 2,
                "num_kv_heads": 1,
                "feed_forward": 64,
                "dropout": 0.0,
                "max_chars": 12,
            },
            # Adam amplifies the rounding of gradients near zero, by its learning rate.
            "optimizer": {"learning_rate": 1e-4},
            "training": {
                "epochs": 3,
                "batch_size": 16,
                "precision": "fp32",
                "num_streams": 2,
                "rows_per_task": 16,
                "checkpoint_every_steps": 3,
                **training,
            },
            "scaling": {"num_workers": 1, "cpus_per_worker": 1},
        }
    )


def _image() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 32), "white").save(stream, "PNG")
    return stream.getvalue()


def _weights(config: TrainConfig) -> dict[str, torch.Tensor]:
    state = RunFolder(config.run.storage, config.run.name).load_state(LAST)
    assert state is not None
    weights: dict[str, torch.Tensor] = state["model"]
    return weights


def _history(config: TrainConfig) -> list[dict[str, float]]:
    path = Path(config.run.storage) / config.run.name / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    config = _config(tmp_path_factory.mktemp("runs"), "plain")
    index = index_dataset(config.data, config.text)
    data = build_local_data(config, index)
    train(config, index.charset, data, RunFolder(config.run.storage, config.run.name))
    return config


@pytest.fixture(scope="module")
def two_worker_run(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    config = _config(tmp_path_factory.mktemp("runs"), "two")
    config = config.replace(scaling={"num_workers": 2, "cpus_per_worker": 1})
    run_training(config)
    return config


WIDTHS = {
    "image": {"height": 32, "width": 64, "fit": "pad"},
    "batching": {"widths": [32, 64], "pixels_per_char": 6},
    "curriculum": {"name": "short_first", "share": 1, "start_chars": 6},
}


@pytest.mark.parametrize("changes", [{}, WIDTHS], ids=["one_width", "widths"])
def test_ray_data_gives_the_batches_of_the_plain_loop(
    changes: dict[str, object], ray_cluster: None, tmp_path: Path
) -> None:
    config = _config(tmp_path, "batches").replace(**changes)
    data = build_local_data(config, index_dataset(config.data, config.text))
    ray_data = RayData(data, epochs=2)

    def flatten(batches: list[Batch]) -> list[tuple[object, ...]]:
        return [
            (
                [batch.keys, batch.labels, batch.errors],
                [batch.images.shape, batch.images.tobytes(), batch.content_width.tolist()],
                [batch.class_ids.tolist(), batch.num_chars.tolist()],
            )
            for batch in batches
        ]

    expected = flatten([*data.train_batches(0, 4), *data.train_batches(1, 0)])
    found = flatten([*ray_data.train_batches(0, 4), *ray_data.train_batches(1, 0)])
    ray_data.close()
    assert found == expected
    assert flatten(list(ray_data.validation_batches())) == flatten(list(data.validation_batches()))
    assert flatten(list(ray_data.validation_batches())) == flatten(list(data.validation_batches()))


def test_two_workers_reach_the_loss_of_one_with_the_same_global_batch(
    plain_run: TrainConfig, two_worker_run: TrainConfig
) -> None:
    one, two = _history(plain_run), _history(two_worker_run)
    assert len(one) == len(two) == 3
    for name in ("train/loss", "validation/loss"):
        assert [entry[name] for entry in two] == pytest.approx(
            [entry[name] for entry in one], rel=1e-3
        )
    assert [entry["validation/num_words"] for entry in two] == [21, 21, 21]


def test_a_run_survives_sigkill_of_a_worker_and_ends_with_the_same_weights(
    two_worker_run: TrainConfig,
) -> None:
    config = two_worker_run.replace(
        run={"storage": two_worker_run.run.storage, "name": "killed"},
    )
    killed = []

    def kill_in_the_second_epoch(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["step"] > 12 and not killed:
            children = psutil.Process().children(recursive=True)
            workers = [p for p in children if "RayTrainWorker" in " ".join(p.cmdline())]
            assert len(workers) == 2
            killed.append(workers[-1].pid)
            workers[-1].send_signal(signal.SIGKILL)

    run_training(config, kill_in_the_second_epoch)
    assert killed
    undisturbed, resumed = _weights(two_worker_run), _weights(config)
    assert all(torch.equal(resumed[name], undisturbed[name]) for name in undisturbed)
    assert [entry["train/loss"] for entry in _history(config)] == [
        entry["train/loss"] for entry in _history(two_worker_run)
    ]


def test_two_workers_stop_early_together(ray_cluster: None, tmp_path: Path) -> None:
    config = _config(tmp_path, "stops", monitor="word_accuracy", early_stopping_patience=1)
    config = config.replace(
        scaling={"num_workers": 2, "cpus_per_worker": 1}, optimizer={"learning_rate": 1e-30}
    )
    assert run_training(config).reason == "no better word_accuracy in 1 epochs"
    assert len(_history(config)) == 2


def test_a_finished_run_says_so_instead_of_training_again(two_worker_run: TrainConfig) -> None:
    folder = Path(two_worker_run.run.storage) / two_worker_run.run.name
    before = (folder / LAST).stat().st_mtime_ns
    outcome = run_training(two_worker_run)
    assert outcome.was_finished
    assert outcome.reason == "all epochs are done"
    assert (folder / LAST).stat().st_mtime_ns == before
    assert Path(outcome.report).read_text().count("data:image/png") >= 2
    assert (Path(outcome.bundle) / "model.json").is_file()


def test_divergence_reaches_the_driver_at_once(ray_cluster: None, tmp_path: Path) -> None:
    config = _config(tmp_path, "diverges")
    config = config.replace(
        optimizer={"learning_rate": 1e30, "schedule": "constant", "warmup": 0, "clip_norm": 1e30}
    )
    with pytest.raises(NonFiniteLossError, match=r"step \d+ .* learning rate 1e\+30"):
        run_training(config)


def test_a_request_beyond_the_cluster_is_an_error_within_seconds(
    ray_cluster: None, tmp_path: Path
) -> None:
    began = time.monotonic()
    config = _config(tmp_path, "too_large")
    config = config.replace(scaling={"num_workers": 64})
    with pytest.raises(ClusterError, match=r"64 training workers .* room for"):
        run_training(config)
    with pytest.raises(ClusterError, match="GPU"):
        require_resources(ScalingConfig(num_workers=1, use_gpu=True))
    with pytest.raises(ClusterError, match="leave none for data"):
        require_resources(ScalingConfig(num_workers=4))
    assert time.monotonic() - began < 10


def test_settings_and_data_are_checked_before_workers_start(
    ray_cluster: None, tmp_path: Path
) -> None:
    config = _config(tmp_path, "missing")
    missing = config.replace(data={"source": "parquet", "path": str(tmp_path / "none.parquet")})
    with pytest.raises(DatasetError, match="no data at"):
        run_training(missing)
    with pytest.raises(ConfigError, match="must divide"):
        run_training(config.replace(training={"batch_size": 15, "num_streams": 2}))
    small = config.replace(training={"batch_size": 500, "num_streams": 2})
    with pytest.raises(ConfigError, match="160 training samples do not fill one batch of 500"):
        run_training(small)
    assert not RunFolder(config.run.storage, config.run.name).has("config.yaml")


@pytest.mark.parametrize("num_workers", [1, 2])
def test_data_that_a_worker_finds_damaged_ends_the_run_with_that_error(
    num_workers: int, ray_cluster: None, tmp_path: Path
) -> None:
    words = [
        {"image": {"bytes": _image(), "path": ""}, "label": label} for label in ["ab", "ba"] * 40
    ]
    path = tmp_path / "words.parquet"
    pq.write_table(pa.Table.from_pylist(words), path)
    config = _config(tmp_path, "damaged").replace(
        data={"source": "parquet", "path": str(path), "validation_fraction": 0.1},
        scaling={"num_workers": num_workers, "cpus_per_worker": 1},
    )

    def damage(event: dict[str, Any]) -> None:
        if event["event"] == "dataset":
            path.write_bytes(b"PAR1" * 100)

    with pytest.raises(DatasetError, match="is not readable as Parquet") as raised:
        run_training(config, damage)
    assert type(raised.value) is DatasetError
    assert "load_spans" not in str(raised.value)


def test_a_damaged_outcome_is_told_and_the_run_ends_again(
    two_worker_run: TrainConfig, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(two_worker_run.run.storage, two_worker_run.run.name)
    folder.write(OUTCOME_FILE, b"{")
    outcome = run_training(two_worker_run)
    assert not outcome.was_finished
    assert "outcome.json is damaged" in caplog.text
    assert run_training(two_worker_run).was_finished
    assert len(_history(two_worker_run)) == 3


def test_a_checkpoint_cut_short_is_told_before_workers_start(
    ray_cluster: None, tmp_path: Path
) -> None:
    config = _config(tmp_path, "cut")
    folder = RunFolder(config.run.storage, config.run.name)
    folder.save_state(BEST, {"model": torch.zeros(100)})
    folder.write(LAST, (folder.read(BEST) or b"")[:-100])
    began = time.monotonic()
    with pytest.raises(
        CheckpointError, match=r"last\.pt is not whole.*delete it.*best\.pt,.*whole"
    ):
        run_training(config)
    assert time.monotonic() - began < 10


def test_a_ray_that_does_not_start_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise Exception("The current node timed out\nduring startup.")  # as Ray's own

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", fail)
    with (
        pytest.raises(ClusterError, match=r"^Ray did not start.* timed out during startup\..*$"),
        connected(),
    ):
        raise AssertionError
