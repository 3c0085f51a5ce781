import io

import pytest
import torch

from ocr_model.config import load_config
from ocr_model.errors import CheckpointError
from ocr_model.training.checkpoint import Progress, require_same_settings
from ocr_model.training.config import TrainConfig


def test_progress_comes_back_from_its_state() -> None:
    progress = Progress(
        epoch=2,
        step_in_epoch=7,
        global_step=31,
        total_steps=60,
        num_streams=4,
        best_value=0.25,
        best_epoch=1,
        num_bad_epochs=1,
        history=[{"epoch": 0.0, "train/loss": 2.5}],
        seconds=12.5,
        finished="all epochs are done",
    )
    buffer = io.BytesIO()
    torch.save(progress.to_state(), buffer)
    buffer.seek(0)
    assert Progress.from_state(torch.load(buffer, weights_only=True)) == progress


def test_a_new_run_stands_at_its_beginning() -> None:
    progress = Progress()
    assert (progress.epoch, progress.step_in_epoch, progress.global_step) == (0, 0, 0)
    assert progress.best_value is None
    assert not progress.finished
    assert Progress().history is not progress.history


def test_a_state_of_another_version_names_what_differs() -> None:
    state = Progress().to_state()
    del state["seconds"]
    state["minutes"] = 1.0
    with pytest.raises(CheckpointError, match=r"another version: .*\['minutes', 'seconds'\]"):
        Progress.from_state(state)


def test_the_same_settings_may_go_on() -> None:
    config = TrainConfig()
    require_same_settings(config, config.model_dump(mode="json"))


@pytest.mark.parametrize(
    "override",
    [
        "run.name=other",
        "run.storage=elsewhere",
        "scaling.num_workers=3",
        "training.max_minutes=5",
        "training.early_stopping_patience=2",
        "training.checkpoint_every_steps=10",
        "training.num_streams=4",
    ],
)
def test_where_and_how_long_a_run_computes_may_change(override: str) -> None:
    saved = TrainConfig().model_dump(mode="json")
    require_same_settings(load_config(TrainConfig, None, [override]), saved)


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("training.seed=1", "training.seed: 0 then, 1 now"),
        ("training.batch_size=64", "training.batch_size: 128 then, 64 now"),
        ("training.teacher_forcing.end=0.5", "training.teacher_forcing.end: 1.0 then, 0.5 now"),
        ("data.num_words=7", "data.num_words: 20000 then, 7 now"),
        ("text.normalization=unicode", "normalization: 'alphanumeric' then, 'unicode' now"),
        ("model.name=crnn", "model.name: 'resnet_transformer' then, 'crnn' now"),
    ],
)
def test_what_a_run_computes_may_not_change(override: str, difference: str) -> None:
    saved = TrainConfig().model_dump(mode="json")
    with pytest.raises(CheckpointError) as caught:
        require_same_settings(load_config(TrainConfig, None, [override]), saved)
    assert difference in str(caught.value)
    assert "run 'quickstart' was started with other settings" in str(caught.value)


def test_all_differences_are_named() -> None:
    saved = TrainConfig().model_dump(mode="json")
    config = load_config(TrainConfig, None, ["data.source=mjsynth", "training.epochs=2"])
    with pytest.raises(CheckpointError) as caught:
        require_same_settings(config, saved)
    assert "data.source: 'synthetic' then, 'mjsynth' now" in str(caught.value)
    assert "data.lexicon" not in str(caught.value)
    assert "training.epochs: 6 then, 2 now" in str(caught.value)
