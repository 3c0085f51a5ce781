from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ocr_model.errors import CheckpointError
from ocr_model.training.config import TrainConfig
from ocr_model.training.loop import TrainResult
from ocr_model.training.run_state import BEST, LAST

MakeConfig = Callable[..., TrainConfig]
TrainLocally = Callable[..., TrainResult]
Load = Callable[..., dict[str, Any]]

CLOCK = {"seconds", "unix_seconds", "train/images_per_second"}

BUCKETS = [
    "image.fit=pad",
    "batching.widths=[32, 64]",
    "batching.pixels_per_char=6",
    "training.batch_size=8",
    "training.num_streams=2",
]

RESUMED = {
    "plain": (5, []),
    "at_the_first_step_of_an_epoch": (4, []),
    "before_the_first_checkpoint": (1, ["training.checkpoint_every_steps=2"]),
    "between_checkpoints": (7, ["training.checkpoint_every_steps=3"]),
    "sampling_and_smoothing": (
        6,
        [
            "training.teacher_forcing.start=0.6",
            "training.teacher_forcing.end=0.2",
            "training.label_smoothing=0.1",
            "model.dropout=0.3",
        ],
    ),
    "accumulation": (3, ["training.accumulation_steps=3"]),
    "fp16_with_a_scaler": (6, ["training.precision=fp16", "training.accumulation_steps=2"]),
    "bf16": (5, ["training.precision=bf16"]),
    "frozen_encoder": (3, ["training.frozen_encoder_epochs=1"]),
    "streams": (5, ["training.num_streams=4", "training.shuffle_rows=8"]),
    "buckets_and_sampling": (
        7,
        [*BUCKETS, "training.teacher_forcing.start=0.6", "training.teacher_forcing.end=0.6"],
    ),
    "curriculum": (
        3,
        [
            "curriculum.name=short_and_easy_first",
            "curriculum.start_chars=5",
            "curriculum.share=1",
            "training.epochs=2",
        ],
    ),
    "average": (5, ["training.average_decay=0.9"]),
    "scales": (5, ["scales.name=drawn", "scales.sizes=[[32, 64], [24, 48], [40, 80]]"]),
}


def path_of(config: TrainConfig) -> Path:
    return Path(config.run.storage) / config.run.name


def flatten(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]  # a sequence
    for key, inner in pairs:
        if isinstance(inner, dict | list | tuple):
            yield from flatten(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", inner


def require_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Compare two states bit by bit, but for what the clock says."""
    flat, again = dict(flatten(one)), dict(flatten(other))
    assert flat.keys() == again.keys()
    for key, value in flat.items():
        if isinstance(value, Tensor):
            assert torch.equal(value, again[key]), key
        elif not key.endswith(tuple(CLOCK)) and not key.startswith("config."):
            assert value == again[key], key


@pytest.mark.parametrize(("stop", "overrides"), RESUMED.values(), ids=RESUMED.keys())
def test_a_resumed_run_ends_bit_equal_to_an_undisturbed_one(
    stop: int,
    overrides: list[str],
    tiny_config: MakeConfig,
    train_locally: TrainLocally,
    tmp_path: Path,
    load: Load,
) -> None:
    settings = ["training.checkpoint_every_steps=1", "model.dropout=0.1", *overrides]
    whole = tiny_config(tmp_path / "whole", *settings)
    parts = tiny_config(tmp_path / "parts", *settings)
    expected = train_locally(whole)
    with pytest.raises(KeyboardInterrupt):
        train_locally(parts, stop_before_step=stop)
    found = train_locally(parts)
    assert expected.progress.global_step == expected.progress.total_steps >= 8
    require_equal(load(whole), load(parts))
    require_equal(load(whole, BEST), load(parts, BEST))
    assert found.metrics == expected.metrics


def test_a_run_stopped_between_validation_and_checkpoint_repeats_the_epoch_only(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path, load: Load
) -> None:
    whole, parts = tiny_config(tmp_path / "whole"), tiny_config(tmp_path / "parts")
    train_locally(whole)

    def stop_at_second_epoch(event: dict[str, Any]) -> None:
        if event["event"] == "epoch" and event["epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_locally(parts, report=stop_at_second_epoch)
    assert load(parts)["progress"]["epoch"] == 1
    train_locally(parts)
    require_equal(load(whole), load(parts))


def test_a_finished_run_returns_at_once_with_the_same_metrics(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
) -> None:
    config = tiny_config(tmp_path, "training.epochs=1")
    first = train_locally(config)
    before = (path_of(config) / LAST).read_bytes()
    again = train_locally(config, stop_before_step=0)  # not one step is taken
    assert again.metrics == first.metrics
    assert again.progress == first.progress
    assert (path_of(config) / LAST).read_bytes() == before


def test_other_settings_on_resume_are_refused_by_name(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
) -> None:
    config = tiny_config(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train_locally(config, stop_before_step=5)
    other = tiny_config(tmp_path, "optimizer.learning_rate=0.002", "training.max_minutes=5")
    with pytest.raises(CheckpointError, match=r"optimizer\.learning_rate: 0\.001 then, 0\.002 now"):
        train_locally(other)
    with pytest.raises(CheckpointError, match=r"training\.num_streams=1"):
        train_locally(tiny_config(tmp_path, "training.num_streams=2"))


@pytest.mark.parametrize("decay", [0.9, 0.0])
def test_a_checkpoint_from_before_averages_resumes_where_none_is_wanted(
    decay: float, tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path, load: Load
) -> None:
    settings = [f"training.average_decay={decay}", "training.checkpoint_every_steps=1"]
    config = tiny_config(tmp_path, *settings)
    with pytest.raises(KeyboardInterrupt):
        train_locally(config, stop_before_step=3)
    state = load(config)
    del state["average"]
    torch.save(state, path_of(config) / LAST)
    if decay:
        with pytest.raises(
            CheckpointError, match=r"no average\. Go on with the version that wrote"
        ):
            train_locally(config)
    else:
        assert train_locally(config).progress.finished


def test_data_with_other_characters_on_resume_is_refused(
    tiny_config: MakeConfig,
    train_locally: TrainLocally,
    write_words: Callable[..., Path],
    tmp_path: Path,
) -> None:
    path = write_words(tmp_path / "words.parquet", ["alpha", "beta"] * 8)
    settings = ["data.source=parquet", f"data.path={path}", f"data.validation_path={path}"]
    config = tiny_config(tmp_path, *settings, "training.epochs=1")
    train_locally(config)
    write_words(path, ["gamma", "delta"] * 8)
    with pytest.raises(CheckpointError, match="other characters"):
        train_locally(config)


def test_a_damaged_checkpoint_says_what_to_do(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
) -> None:
    config = tiny_config(tmp_path, "training.epochs=1")
    train_locally(config)
    (path_of(config) / LAST).write_bytes(b"damaged")
    with pytest.raises(
        CheckpointError, match=r"last\.pt cannot be read(?s:.*)or delete it to begin"
    ):
        train_locally(config)
