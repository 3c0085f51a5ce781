import json
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tensorboardX.proto.event_pb2 import Event

from ocr_model.training.config import TrainConfig
from ocr_model.training.loop import TrainResult
from ocr_model.training.run_state import BEST

MakeConfig = Callable[..., TrainConfig]
TrainLocally = Callable[..., TrainResult]
Load = Callable[..., dict[str, Any]]


def path_of(config: TrainConfig) -> Path:
    return Path(config.run.storage) / config.run.name


def event_times(records: bytes) -> Iterator[float]:
    """Give the wall times of a TensorBoard file: records of length, checksum, event, checksum."""
    while records:
        (length,) = struct.unpack("<Q", records[:8])
        yield Event.FromString(records[12 : 12 + length]).wall_time
        records = records[16 + length :]


def events_of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


def test_a_run_leaves_metrics_curves_and_a_loadable_best_state(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
) -> None:
    config = tiny_config(tmp_path)
    events: list[dict[str, Any]] = []
    result = train_locally(config, report=events.append, provenance={"dataset": "made up"})
    lines = (path_of(config) / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    assert json.loads(lines[0])["validation/cer"] == events_of(events, "epoch")[0]["validation/cer"]
    assert events_of(events, "step")[0]["total_steps"] == 8
    (curves,) = (path_of(config) / "tensorboard").iterdir()
    assert "tfevents" in curves.name
    assert b"validation/cer" in curves.read_bytes()
    assert all(abs(at - time.time()) < 3600 for at in event_times(curves.read_bytes()))
    best = torch.load(path_of(config) / BEST, weights_only=True)["model"]
    assert best.keys() == result.model.state_dict().keys()
    facts = json.loads((path_of(config) / "best" / "model.json").read_bytes())
    assert facts["provenance"]["dataset"] == "made up"
    assert facts["metrics"] == result.metrics
    assert not list(path_of(config).rglob("*.tmp"))


def test_the_kept_weights_are_those_of_the_best_epoch(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
) -> None:
    config = tiny_config(tmp_path, "training.epochs=4", "training.monitor=loss")
    result = train_locally(config)
    losses = [entry["validation/loss"] for entry in result.progress.history]
    assert result.progress.best_epoch == losses.index(min(losses))
    assert result.metrics["loss"] == min(losses)


def test_the_kept_weights_are_the_averaged_ones(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path, load: Load
) -> None:
    config = tiny_config(tmp_path, "training.average_decay=0.9", "training.epochs=1")
    train_locally(config)
    kept, last = load(config, BEST)["model"], load(config)
    for name, value in kept.items():
        assert torch.equal(value, last["average"][f"module.{name}"]), name
    name = "decoder.classifier.weight"
    assert not torch.equal(kept[name], last["model"][name])
