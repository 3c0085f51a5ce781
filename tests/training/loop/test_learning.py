from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ocr_model.data.index import index_dataset
from ocr_model.models import build_model
from ocr_model.training.config import TrainConfig
from ocr_model.training.loop import TrainResult

MakeConfig = Callable[..., TrainConfig]
TrainLocally = Callable[..., TrainResult]
Load = Callable[..., dict[str, Any]]

BUCKETS = [
    "image.fit=pad",
    "batching.widths=[32, 64]",
    "batching.pixels_per_char=6",
    "training.batch_size=8",
    "training.num_streams=2",
]


def initial_state(config: TrainConfig) -> dict[str, Tensor]:
    index = index_dataset(config.data, config.text)
    torch.manual_seed(config.training.seed)
    return build_model(config.model, index.charset.num_classes, config.image).state_dict()


def test_the_loss_falls_on_a_small_fixed_set(
    tiny_config: MakeConfig,
    train_locally: TrainLocally,
    write_words: Callable[..., Path],
    tmp_path: Path,
) -> None:
    path = write_words(tmp_path / "words.parquet", ["alpha", "beta", "gamma", "delta"] * 8)
    config = tiny_config(
        tmp_path,
        "data.source=parquet",
        f"data.path={path}",
        f"data.validation_path={path}",
        "training.epochs=12",
        "optimizer.learning_rate=0.005",
    )
    result = train_locally(config)
    losses = [entry["train/loss"] for entry in result.progress.history]
    assert losses[-1] < 0.5 * losses[0]
    assert result.progress.history[-1]["train/token_accuracy"] > 0.6
    assert result.progress.finished == "all epochs are done"


def test_crnn_trains_by_the_same_loop(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
) -> None:
    model = ["model.name=crnn", "model.strides=narrow", "model.hidden=32"]
    result = train_locally(tiny_config(tmp_path, "training.epochs=1", *model))
    (entry,) = result.progress.history
    assert entry["train/loss"] > 0
    assert "train/token_accuracy" not in entry


def test_crnn_trains_on_padded_images_of_several_widths(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
) -> None:
    model = ["model.name=crnn", "model.strides=narrow", "model.hidden=32"]
    settings = ["data.num_words=64", "training.epochs=1", *model, *BUCKETS]
    (entry,) = train_locally(tiny_config(tmp_path, *settings)).progress.history
    assert entry["train/loss"] > 0
    assert 32 < entry["step"] * 8 + 64 <= 128  # fewer steps than of one width: some are larger


def test_a_frozen_encoder_changes_only_after_it_thaws(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path, load: Load
) -> None:
    config = tiny_config(tmp_path, "training.frozen_encoder_epochs=1")
    initial = initial_state(config)
    with pytest.raises(KeyboardInterrupt):
        train_locally(config, stop_before_step=4)
    frozen = load(config)["model"]
    train_locally(config)
    thawed = load(config)["model"]
    encoder = [name for name in initial if name.startswith("backbone.")]
    assert any("running_mean" in name for name in encoder)
    for name in encoder:
        assert torch.equal(frozen[name], initial[name]), name
        assert not torch.equal(thawed[name], initial[name]), name
    name = "decoder.classifier.weight"
    assert not torch.equal(frozen[name], initial[name])


def test_averaged_weights_are_those_of_all_steps_weighted(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path, load: Load
) -> None:
    plain = tiny_config(tmp_path / "plain", "training.checkpoint_every_steps=1")
    states = []
    for step in (1, 2, 3):
        with pytest.raises(KeyboardInterrupt):
            train_locally(plain, stop_before_step=step)
        states.append(load(plain)["model"])
    averaged = tiny_config(
        tmp_path / "averaged",
        "training.checkpoint_every_steps=1",
        "training.average_decay=0.75",
    )
    with pytest.raises(KeyboardInterrupt):
        train_locally(averaged, stop_before_step=3)
    found = load(averaged)["average"]
    for name in ("decoder.classifier.weight", "backbone.bn1.running_mean"):
        first, second, third = (state[name] for state in states)
        expected = 0.5625 * first + 0.1875 * second + 0.25 * third
        assert torch.allclose(found[f"module.{name}"], expected, atol=1e-6), name


@pytest.mark.parametrize("num_parts", [2, 3, 16, 50])
def test_accumulation_gives_what_one_part_gives(
    num_parts: int, tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path, load: Load
) -> None:
    settings = ["training.frozen_encoder_epochs=1", "model.dropout=0", "training.epochs=1"]
    settings += ["training.teacher_forcing.start=0.5", "training.teacher_forcing.end=0.5"]
    whole = tiny_config(tmp_path / "whole", *settings)
    parts = tiny_config(tmp_path / "parts", *settings, f"training.accumulation_steps={num_parts}")
    one, many = (train_locally(config).progress.history[0] for config in (whole, parts))
    assert many["train/loss"] == pytest.approx(one["train/loss"], rel=1e-4)
    assert many["train/token_accuracy"] == pytest.approx(one["train/token_accuracy"], abs=0.01)
    expected, found = load(whole)["model"], load(parts)["model"]
    # Adam's first steps turn gradients near 0, and so their rounding, into steps of full size.
    differences = torch.cat([(expected[n] - found[n]).float().abs().flatten() for n in expected])
    assert differences.mean() < 1e-4
