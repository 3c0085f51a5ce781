from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ocr_model.bundle import load_bundle
from ocr_model.data.index import index_dataset
from ocr_model.data.loading import LocalData
from ocr_model.errors import BundleError, ConfigError
from ocr_model.models import build_model
from ocr_model.training.config import TrainConfig
from ocr_model.training.loop import TrainResult
from ocr_model.training.recognition import train
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.starting_point import adopt_charset, take_weights

MakeConfig = Callable[..., TrainConfig]
Run = Callable[[TrainConfig], TrainResult]


@pytest.fixture
def run(local_data: Callable[..., LocalData]) -> Run:
    def train_it(config: TrainConfig) -> TrainResult:
        index = index_dataset(config.data, config.text)
        index = adopt_charset(index, config.training.start_from)
        folder = RunFolder(config.run.storage, config.run.name)
        return train(config, index.charset, local_data(config, index), folder)

    return train_it


def test_training_begins_where_a_bundle_ended(
    tmp_path: Path,
    tiny_config: MakeConfig,
    trained_config: TrainConfig,
    bundle_path: Path,
    run: Run,
) -> None:
    """A vanishing learning rate leaves the bundle's weights and vocabulary as they were."""
    changes = {"learning_rate": 1e-12, "weight_decay": 0.0}
    config = trained_config.replace(
        run={"name": "again", "storage": str(tmp_path)},
        optimizer={**trained_config.optimizer.model_dump(), **changes},
        training={
            **trained_config.training.model_dump(),
            "start_from": str(bundle_path),
            "epochs": 1,
            "max_minutes": None,
        },
    )
    first = load_bundle(bundle_path)
    result = run(config)
    again = load_bundle(tmp_path / "again" / "best")
    assert again.info.charset == first.info.charset
    before, after = (dict(bundle.model.named_parameters()) for bundle in (first, again))
    assert all((after[name] - before[name]).abs().max() < 1e-6 for name in before)
    assert result.metrics["loss"] == pytest.approx(first.info.metrics["loss"], rel=0.1)


def test_frozen_statistics_stay_those_of_the_bundle(
    tmp_path: Path, trained_config: TrainConfig, bundle_path: Path, run: Run
) -> None:
    config = trained_config.replace(
        run={"name": "frozen", "storage": str(tmp_path)},
        training={
            **trained_config.training.model_dump(),
            "start_from": str(bundle_path),
            "frozen_batch_norm": True,
            "epochs": 1,
            "max_minutes": None,
        },
    )
    run(config)
    before = load_bundle(bundle_path).model.state_dict()
    after = load_bundle(tmp_path / "frozen" / "best").model.state_dict()
    for name in ("backbone.bn1.running_mean", "backbone.bn1.running_var"):
        assert torch.equal(before[name], after[name]), name
    assert not torch.equal(before["backbone.bn1.weight"], after["backbone.bn1.weight"])


def test_data_with_other_characters_is_refused(
    tmp_path: Path, tiny_config: MakeConfig, bundle_path: Path
) -> None:
    known = load_bundle(bundle_path).info.charset
    config = tiny_config(tmp_path, "text.normalization=printable", "data.lexicon.punctuation=0.5")
    index = index_dataset(config.data, config.text)
    assert set(index.charset.characters) - set(known)
    with pytest.raises(ConfigError, match="has the characters"):
        adopt_charset(index, str(bundle_path))


def test_a_bundle_of_another_architecture_is_refused(
    tmp_path: Path, trained_config: TrainConfig, bundle_path: Path, run: Run
) -> None:
    model = {**trained_config.model.model_dump(), "feed_forward": 72}
    training = {**trained_config.training.model_dump(), "start_from": str(bundle_path)}
    changed = trained_config.replace(
        run={"name": "other", "storage": str(tmp_path)}, model=model, training=training
    )
    with pytest.raises(ConfigError, match=r"another model than .*feed_forward"):
        run(changed)


def test_a_missing_bundle_says_what_a_bundle_is(tmp_path: Path, tiny_config: MakeConfig) -> None:
    config = tiny_config(tmp_path)
    index = index_dataset(config.data, config.text)
    with pytest.raises(BundleError, match="A bundle is a folder"):
        adopt_charset(index, str(tmp_path / "nothing"))


def test_pretrained_weights_have_no_effect_beside_a_bundle(
    tmp_path: Path, tiny_config: MakeConfig
) -> None:
    with pytest.raises(ConfigError, match="has no effect"):
        tiny_config(tmp_path, "training.start_from=x", "model.pretrained=y")


def test_a_deeper_network_begins_as_the_shallower_one() -> None:
    bundle = load_bundle("compact-synthetic")
    assert bundle.info.model.backbone == "resnet10"
    deeper = bundle.info.model.model_copy(update={"backbone": "resnet18"})
    model = build_model(deeper, bundle.charset.num_classes, bundle.info.geometry).eval()
    take_weights(model, bundle.charset, "compact-synthetic")
    images = torch.randint(0, 256, (2, 32, 96, 3), dtype=torch.uint8)
    widths = torch.tensor([96, 50])
    with torch.no_grad():
        before, after = (m.encode(images, widths) for m in (bundle.model.eval(), model))
    is_content = ~before.is_padding
    assert torch.allclose(before.tokens[is_content], after.tokens[is_content], atol=1e-5)
    num_weights = [sum(p.numel() for p in m.parameters()) for m in (bundle.model, model)]
    assert num_weights[1] > 1.5 * num_weights[0]


def test_a_network_of_other_blocks_is_refused() -> None:
    bundle = load_bundle("compact-synthetic")
    other = bundle.info.model.model_copy(update={"backbone": "resnet50"})
    model = build_model(other, bundle.charset.num_classes, bundle.info.geometry)
    with pytest.raises(ConfigError, match="another model"):
        take_weights(model, bundle.charset, "compact-synthetic")
