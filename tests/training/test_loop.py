import json
import re
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboardX.proto.event_pb2 import Event
from torch import Tensor

from ocr_model.config import load_config
from ocr_model.data.index import index_dataset
from ocr_model.data.loading import Batch, LocalData
from ocr_model.errors import CheckpointError, ConfigError, DatasetError, NonFiniteLossError
from ocr_model.models import build_model
from ocr_model.training.config import TrainConfig
from ocr_model.training.loop import Report, TrainResult
from ocr_model.training.recognition import train
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.run_state import BEST, LAST

MakeConfig = Callable[..., TrainConfig]
TrainLocally = Callable[..., TrainResult]

CLOCK = {"seconds", "unix_seconds", "train/images_per_second"}


@dataclass(frozen=True)
class InterruptedData(LocalData):
    """Data of a machine that goes down after some steps."""

    steps_left: int = 0

    def train_batches(self, epoch: int, start_step: int) -> Iterator[Batch]:
        batches = super().train_batches(epoch, start_step)
        for step, batch in enumerate(batches, sum(map(self.num_steps, range(epoch))) + start_step):
            if step == self.steps_left:
                raise KeyboardInterrupt
            yield batch


@pytest.fixture
def train_locally(local_data: Callable[..., LocalData]) -> TrainLocally:
    """Return a function that runs the plain loop, perhaps only so many steps."""

    def run(
        config: TrainConfig,
        *,
        stop_before_step: int | None = None,
        report: Report = lambda _: None,
        provenance: dict[str, Any] | None = None,
    ) -> TrainResult:
        columns = config.model.num_columns(config.image.width)
        index = index_dataset(config.data, config.text, num_columns=columns)
        data = local_data(config, index)
        if stop_before_step is not None:
            data = InterruptedData(**vars(data), steps_left=stop_before_step)
        folder = folder_of(config)
        return train(config, index.charset, data, folder, report=report, provenance=provenance)

    return run


def folder_of(config: TrainConfig) -> RunFolder:
    return RunFolder(config.run.storage, config.run.name)


def path_of(config: TrainConfig) -> Path:
    return Path(config.run.storage) / config.run.name


def event_times(records: bytes) -> Iterator[float]:
    """Give the wall times of a TensorBoard file: records of length, checksum, event, checksum."""
    while records:
        (length,) = struct.unpack("<Q", records[:8])
        yield Event.FromString(records[12 : 12 + length]).wall_time
        records = records[16 + length :]


def load(config: TrainConfig, name: str = LAST) -> dict[str, Any]:
    state = folder_of(config).load_state(name)
    assert state is not None
    return state


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


BUCKETS = [
    "image.fit=pad",
    "batching.widths=[32, 64]",
    "batching.pixels_per_char=6",
    "training.batch_size=8",
    "training.num_streams=2",
]


def test_crnn_trains_on_padded_images_of_several_widths(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
) -> None:
    model = ["model.name=crnn", "model.strides=narrow", "model.hidden=32"]
    settings = ["data.num_words=64", "training.epochs=1", *model, *BUCKETS]
    (entry,) = train_locally(tiny_config(tmp_path, *settings)).progress.history
    assert entry["train/loss"] > 0
    assert 32 < entry["step"] * 8 + 64 <= 128  # fewer steps than of one width: some are larger


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


@pytest.mark.parametrize(("stop", "overrides"), RESUMED.values(), ids=RESUMED.keys())
def test_a_resumed_run_ends_bit_equal_to_an_undisturbed_one(
    stop: int,
    overrides: list[str],
    tiny_config: MakeConfig,
    train_locally: TrainLocally,
    tmp_path: Path,
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
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
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
    decay: float, tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
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


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_checkpoint(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
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


def test_a_frozen_encoder_changes_only_after_it_thaws(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
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
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
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


def test_the_kept_weights_are_the_averaged_ones(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
) -> None:
    config = tiny_config(tmp_path, "training.average_decay=0.9", "training.epochs=1")
    train_locally(config)
    kept, last = load(config, BEST)["model"], load(config)
    for name, value in kept.items():
        assert torch.equal(value, last["average"][f"module.{name}"]), name
    name = "decoder.classifier.weight"
    assert not torch.equal(kept[name], last["model"][name])


def test_frozen_batch_norm_needs_a_model_to_start_from(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="frozen_batch_norm keeps the statistics of start_from"):
        tiny_config(tmp_path, "training.frozen_batch_norm=true")


@pytest.mark.parametrize("num_parts", [2, 3, 16, 50])
def test_accumulation_gives_what_one_part_gives(
    num_parts: int, tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
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


def test_too_many_unreadable_images_fail_the_run_and_are_listed(
    tiny_config: MakeConfig,
    train_locally: TrainLocally,
    write_words: Callable[..., Path],
    tmp_path: Path,
) -> None:
    words = [f"word{number}" for number in range(48)]
    path = write_words(tmp_path / "w.parquet", words, {7: b"", 30: b"not an image"})
    settings = [
        "data.source=parquet",
        f"data.path={path}",
        f"data.validation_path={path}",
        "training.epochs=1",
    ]
    with pytest.raises(DatasetError, match=r"2 of 48 .*max_unreadable=0\.01: .*w\.parquet#0:") as e:
        train_locally(tiny_config(tmp_path / "strict", *settings))
    assert "#0:7: empty: zero bytes" in str(e.value)
    assert "#0:30: not_an_image" in str(e.value)
    assert {"1 empty", "1 not_an_image"} <= set(re.split(r"[,.:] ", str(e.value)))

    lenient = tiny_config(tmp_path / "lenient", *settings, "training.max_unreadable=0.05")
    result = train_locally(lenient)
    (entry,) = result.progress.history
    assert entry["train/unreadable_images"] == 2
    assert entry["unreadable/empty"] == entry["unreadable/not_an_image"] == 1
    assert result.metrics["num_words"] == 48
    lines = (path_of(lenient) / "unreadable_images.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["key"].rpartition(":")[2] for line in lines) == ["30", "7"]


@pytest.mark.parametrize("forcing", [1.0, 0.0])
def test_a_batch_without_any_readable_image_is_survived(
    forcing: float,
    tiny_config: MakeConfig,
    train_locally: TrainLocally,
    write_words: Callable[..., Path],
    tmp_path: Path,
) -> None:
    broken = dict.fromkeys(range(16), b"")
    path = write_words(tmp_path / "words.parquet", ["word"] * 17, broken)
    config = tiny_config(
        tmp_path,
        "data.source=parquet",
        f"data.path={path}",
        f"data.validation_path={path}",
        "training.batch_size=1",
        "training.epochs=1",
        "training.max_unreadable=1",
        "training.frozen_encoder_epochs=1",
        f"training.teacher_forcing.start={forcing}",
        f"training.teacher_forcing.end={forcing}",
    )
    (entry,) = train_locally(config).progress.history
    assert entry["train/unreadable_images"] == 16
    assert entry["train/loss"] > 0


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


def events_of(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == kind]


def test_the_kept_weights_are_those_of_the_best_epoch(
    tiny_config: MakeConfig, train_locally: TrainLocally, tmp_path: Path
) -> None:
    config = tiny_config(tmp_path, "training.epochs=4", "training.monitor=loss")
    result = train_locally(config)
    losses = [entry["validation/loss"] for entry in result.progress.history]
    assert result.progress.best_epoch == losses.index(min(losses))
    assert result.metrics["loss"] == min(losses)


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


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["batching.widths=[64, 128]"], "needs image.fit=pad"),
        (["batching.widths=[64, 96]", "image.fit=pad"], "the last must be image.width 128"),
        (["batching.pixels_per_char=9"], "no effect without widths"),
        (["scales.name=drawn"], "sizes"),
        (["model.name=crnn", "scales.name=rising", "scales.sizes=[[24, 96]]"], "one height"),
        (
            [
                "image.fit=pad",
                "batching.widths=[64, 128]",
                "scales.name=rising",
                "scales.sizes=[[32, 64]]",
            ],
            "both decide the width",
        ),
        (["curriculum.name=short_first", "curriculum.start_chars=25"], "leaves nothing out"),
        (["curriculum.name=short_and_easy_first", "curriculum.start_chars=25"], "leaves nothing"),
        (["curriculum.start_chars=5"], "start_chars"),
    ],
)
def test_schedules_without_effect_are_config_errors(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(TrainConfig, None, overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.name=crnn", "training.label_smoothing=0.1"],
        ["model.name=crnn", "training.teacher_forcing.end=0.5"],
        ["model.decoder_weight=0", "model.decode_with=ctc", "training.label_smoothing=0.1"],
        ["model.decoder_weight=0", "model.decode_with=ctc", "training.teacher_forcing.end=0.5"],
    ],
)
def test_settings_that_ctc_ignores_are_config_errors(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match=f"training.{overrides[-1].split('.')[1].split('=')[0]}"):
        load_config(TrainConfig, None, overrides)
