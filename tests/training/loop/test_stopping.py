from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocr_model.errors import ConfigError, NonFiniteLossError
from ocr_model.training.config import TrainConfig
from ocr_model.training.loop import TrainResult

MakeConfig = Callable[..., TrainConfig]
TrainLocally = Callable[..., TrainResult]
Load = Callable[..., dict[str, Any]]


def test_training_stops_when_patience_ends(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
) -> None:
    config = tiny_config(
        tmp_path,
        "training.epochs=9",
        "training.early_stopping_patience=2",
        "training.monitor=word_accuracy_exact",  # 0 of 24, and never better
        "optimizer.learning_rate=1e-9",
    )
    result = train_locally(config)
    assert result.progress.epoch == 3
    assert result.progress.best_epoch == 0
    assert result.progress.finished == "no better word_accuracy_exact in 2 epochs"
    assert [entry["is_best"] for entry in result.progress.history] == [1, 0, 0]


def test_a_time_budget_cuts_the_schedule_and_the_schedule_still_ends(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
) -> None:
    config = tiny_config(
        tmp_path,
        "training.max_minutes=0.02",
        "training.epochs=500",
        "training.batch_size=4",
        "training.early_stopping_patience=500",
    )
    result = train_locally(config)
    progress = result.progress
    assert 1 < progress.total_steps < 500 * 16
    assert progress.global_step == progress.total_steps
    assert progress.finished == "the time is used up"
    assert progress.history[-1]["train/learning_rate"] < 1e-5


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_checkpoint(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path, load: Load
) -> None:
    config = tiny_config(
        tmp_path, "optimizer.learning_rate=1e30", "training.checkpoint_every_steps=1"
    )
    pattern = (
        r"step 2 \(epoch 1\): loss \S+, .*learning rate \d.*e\+29; .*synthetic:\w+@train#0:\d+"
        r".*; the last checkpoint is intact$"
    )
    with pytest.raises(NonFiniteLossError, match=pattern):
        train_locally(config)
    assert load(config)["progress"]["global_step"] == 1


def test_a_model_that_cannot_be_built_is_a_setting_that_is_wrong(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def refuse(*_: object) -> None:
        raise ValueError("dropout probability has to be between 0 and 1")

    monkeypatch.setattr("ocr_model.training.recognition.build_model", refuse)
    with pytest.raises(ConfigError, match="cannot be built so: dropout probability"):
        train_locally(tiny_config(tmp_path))
