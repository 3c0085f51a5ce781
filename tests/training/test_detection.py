import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from ocr_model.config import load_config
from ocr_model.data.page_loading import CropBatch, LocalPages
from ocr_model.detection.compact import load_detector
from ocr_model.errors import CheckpointError, ConfigError
from ocr_model.training.detection import build_pages, heat_loss, train_detector
from ocr_model.training.detector_config import DetectorTrainConfig
from ocr_model.training.detector_report import write_detector_report
from ocr_model.training.detector_trainer import run_detector_training
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.worker import Worker

_TINY = """
run: {name: tiny}
data:
  pages:
    kinds: {paragraph: 0, form: 0, receipt: 1, table: 0, scene: 0}
    page_side: {least: 160, most: 160}
  crops: {side: 96, turn: 0, quarter_turns: 0, scale: {least: 1, most: 1}}
  crops_per_epoch: 16
  num_validation_pages: 2
model: {channels: [16, 16, 16, 16], num_blocks: [1, 1, 1, 1]}
training: {batch_size: 4, epochs: 2, precision: fp32}
"""

CLOCK = {"seconds", "unix_seconds", "train/images_per_second"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., DetectorTrainConfig]:
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(_TINY, encoding="utf-8")

    def build(storage: Path, *overrides: str) -> DetectorTrainConfig:
        return load_config(DetectorTrainConfig, path, [f"run.storage={storage}", *overrides])

    return build


def _folder(config: DetectorTrainConfig) -> RunFolder:
    return RunFolder(config.run.storage, config.run.name)


def _load(config: DetectorTrainConfig) -> dict[str, Any]:
    state = _folder(config).load_state("last.pt")
    assert state is not None
    return state


@dataclass(frozen=True)
class InterruptedPages(LocalPages):
    """Data of a machine that goes down after some steps."""

    steps_left: int = 0

    def train_batches(self, epoch: int, start_step: int) -> Iterator[CropBatch]:
        for step, batch in enumerate(super().train_batches(epoch, start_step), start_step):
            if epoch * self.num_steps(0) + step == self.steps_left:
                raise KeyboardInterrupt
            yield batch


@dataclass(frozen=True)
class TwoPages(LocalPages):
    """The same batch again and again: the crops of a few pages."""

    def train_batches(self, epoch: int, start_step: int) -> Iterator[CropBatch]:
        (batch, *_) = super().train_batches(0, 0)
        for _ in range(start_step, self.num_steps(epoch)):
            yield batch


def test_the_loss_falls_on_a_few_crops(
    tiny: Callable[..., DetectorTrainConfig], tmp_path: Path
) -> None:
    config = tiny(
        tmp_path, "training.epochs=3", "data.crops_per_epoch=48", "optimizer.learning_rate=0.01"
    )
    data = TwoPages(**vars(build_pages(config)))
    result = train_detector(config, data, _folder(config))
    losses = [entry["train/loss"] for entry in result.progress.history]
    assert losses[-1] < 0.8 * losses[0]  # the entropy of the truth remains


def test_a_resumed_run_ends_bit_equal_to_an_undisturbed_one(
    tiny: Callable[..., DetectorTrainConfig], tmp_path: Path
) -> None:
    settings = ["training.checkpoint_every_steps=1", "training.accumulation_steps=2"]
    whole, parts = tiny(tmp_path / "whole", *settings), tiny(tmp_path / "parts", *settings)
    train_detector(whole, build_pages(whole), _folder(whole))
    for stop in (3, 6):
        data = InterruptedPages(**vars(build_pages(parts)), steps_left=stop)
        with pytest.raises(KeyboardInterrupt):
            train_detector(parts, data, _folder(parts))
    train_detector(parts, build_pages(parts), _folder(parts))
    one, other = _load(whole), _load(parts)
    for name, tensor in one["model"].items():
        assert torch.equal(tensor, other["model"][name]), name
    for first, second in zip(one["progress"]["history"], other["progress"]["history"], strict=True):
        assert all(first[key] == second[key] for key in first.keys() - CLOCK)


def test_another_run_may_begin_with_a_runs_weights(
    tiny: Callable[..., DetectorTrainConfig], tmp_path: Path
) -> None:
    first = tiny(tmp_path, "training.epochs=1")
    result = train_detector(first, build_pages(first), _folder(first))
    best = tmp_path / "tiny" / "best"
    write_detector_report(_folder(first), first, result)
    report = (tmp_path / "tiny" / "report" / "index.html").read_text()
    assert "validation pages: precision" in report
    assert report.count("data:image/png;base64,") == 3
    assert load_detector(best, device="cpu").info.provenance["config"]["run"]["name"] == "tiny"
    again = tiny(
        tmp_path, "run.name=again", f"training.start_from={best}",
        "optimizer.learning_rate=1e-30", "training.epochs=1", "optimizer.weight_decay=0",
    )  # fmt: skip
    train_detector(again, build_pages(again), _folder(again))
    now = _load(again)["model"]["head.weight"]
    torch.testing.assert_close(now, result.model.state_dict()["head.weight"], rtol=0, atol=1e-12)
    wrong = again.replace(model={"channels": (16, 16, 32, 16)}, run={"name": "wrong"})
    with pytest.raises(ConfigError, match="they must be the same"):
        train_detector(wrong, build_pages(wrong), RunFolder(str(tmp_path), "wrong"))


def test_a_run_does_not_go_on_under_other_settings(
    tiny: Callable[..., DetectorTrainConfig], tmp_path: Path
) -> None:
    config = tiny(tmp_path, "training.epochs=1")
    train_detector(config, build_pages(config), _folder(config))
    other = tiny(tmp_path, "training.epochs=1", "data.crops.turn=3")
    with pytest.raises(CheckpointError, match=r"data\.crops\.turn: 0\.0 then, 3\.0 now"):
        train_detector(other, build_pages(other), _folder(other))


def test_workers_must_divide_the_batch(
    tiny: Callable[..., DetectorTrainConfig], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"3 workers must divide training\.batch_size=4"):
        build_pages(tiny(tmp_path), Worker(0, 3))


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("training.monitor=cer", "training.monitor"),
        ("training.label_smoothing=0.1", "label_smoothing"),
        ("data.real=[{path: []}]", "data.real.0.path"),
        ("data.real=[{path: [a], share: 0.6}, {path: [b], share: 0.6}]", "add up to 1.2"),
        ("data.crops.side=100", "multiple of 32"),
        ("model.channels=[8, 16, 16, 16]", "greater than or equal to 16"),
        ("boxes.text_threshold=0.1", "text_threshold"),
    ],
)
def test_a_wrong_setting_is_named(
    tiny: Callable[..., DetectorTrainConfig], tmp_path: Path, override: str, fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault):
        tiny(tmp_path, override)


def _heat(region: torch.Tensor, is_known: torch.Tensor) -> torch.Tensor:
    maps = torch.stack([255 * region, torch.zeros_like(region), is_known.float()])
    return maps.round().byte()[None]


def test_the_loss_is_least_at_the_truth_and_blind_to_what_is_unknown() -> None:
    torch.manual_seed(0)
    region = (torch.rand(64, 64) * 255).round() / 255 * (torch.rand(64, 64) > 0.7)
    is_known = torch.ones(64, 64, dtype=torch.bool)
    is_known[:, :16] = False
    heat = _heat(region, is_known)
    truth = torch.logit(torch.stack([region, torch.zeros(64, 64)]).clamp(1e-4, 1 - 1e-4))[None]
    best = heat_loss(truth, heat)
    assert (best < heat_loss(truth + torch.randn_like(truth), heat)).all()
    disturbed = truth.clone()
    disturbed[..., :16] += 5
    assert torch.equal(best, heat_loss(disturbed, heat))


def test_a_crop_of_which_nothing_is_known_has_no_loss() -> None:
    nothing = _heat(torch.zeros(32, 32), torch.zeros(32, 32))
    logits = torch.randn(1, 2, 32, 32, requires_grad=True)
    loss = heat_loss(logits, nothing)
    loss.sum().backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_only_the_hardest_cells_without_text_count() -> None:
    region = torch.zeros(64, 64)
    region[:10, :10] = 1
    heat = _heat(region, torch.ones(64, 64))
    logits = torch.full((1, 2, 64, 64), -4.0, requires_grad=True)
    with torch.no_grad():
        logits[0, 0, 20:52, 20:52] = 2.0  # 1024 false alarms, of which 1000 are to count
    heat_loss(logits, heat).sum().backward()
    assert logits.grad is not None
    moved = logits.grad[0, 0] > 0
    assert moved.sum() == 1000
    assert not moved[:20].any()


def test_two_ray_workers_train_as_one_plain_process(
    tiny: Callable[..., DetectorTrainConfig], ray_cluster: None, tmp_path: Path
) -> None:
    # Adam amplifies the rounding of gradients near zero, by its learning rate.
    settings = ["training.epochs=1", "optimizer.learning_rate=1e-4"]
    plain = tiny(tmp_path / "plain", *settings)
    expected = train_detector(plain, build_pages(plain), _folder(plain))
    both = tiny(tmp_path / "two", *settings, "scaling.num_workers=2")
    events: list[dict[str, Any]] = []
    outcome = run_detector_training(both, events.append)
    (entry,) = expected.progress.history
    (found,) = map(json.loads, (_folder(both).read("metrics.jsonl") or b"").splitlines())
    assert found["train/loss"] == pytest.approx(entry["train/loss"], rel=1e-3)
    assert outcome.metrics["num_pages"] == 2
    assert outcome.metrics["num_words"] == expected.metrics["num_words"]
    assert events[-1]["event"] == "epoch"
    assert load_detector(outcome.bundle, device="cpu").info.model == both.model
    assert run_detector_training(both).was_finished
