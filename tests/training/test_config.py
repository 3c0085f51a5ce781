from collections.abc import Callable
from pathlib import Path

import pytest

from ocr_model.config import describe, load_config
from ocr_model.data.sources import MJSynthSource, ParquetSource
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.errors import ConfigError
from ocr_model.models.crnn import CRNNConfig
from ocr_model.models.resnet_transformer import ResNetTransformerConfig
from ocr_model.training.config import TrainConfig

MakeConfig = Callable[..., TrainConfig]


def test_help_of_a_training_run_names_each_source_and_model() -> None:
    listed = "\n".join(describe(TrainConfig))
    for key in (
        "run.storage",
        "data.source",
        "data.num_words",
        "data.stem_pattern",
        "text.normalization",
        "model.backbone",
        "model.strides",
        "training.teacher_forcing.end",
        "scaling.num_workers",
    ):
        assert f"  {key} = " in listed


def test_a_training_run_comes_back_from_its_yaml(tmp_path: Path) -> None:
    config = load_config(
        TrainConfig,
        None,
        [
            "data.source=parquet",
            "data.path=[a.parquet, b.parquet]",
            "model.name=crnn",
            "text.normalization=printable",
            "optimizer.learning_rate=1e-5",
        ],
    )
    assert config.data == ParquetSource(source="parquet", path=["a.parquet", "b.parquet"])
    assert config.optimizer.learning_rate == 1e-5
    path = tmp_path / "run.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    assert load_config(TrainConfig, path) == config


def test_the_source_and_model_of_a_file_can_be_replaced_from_the_command_line(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("data: {num_words: 50}\nmodel: {backbone: resnet10}\n", encoding="utf-8")
    config = load_config(TrainConfig, path)
    assert isinstance(config.data, SyntheticSource)
    assert isinstance(config.model, ResNetTransformerConfig)
    replaced = load_config(TrainConfig, path, ["data.source=mjsynth", "model.name=crnn"])
    assert replaced.data == MJSynthSource(source="mjsynth")
    assert replaced.model == CRNNConfig()


def test_an_unknown_training_setting_names_the_nearest_of_its_section() -> None:
    with pytest.raises(ConfigError, match=r"training\.epoch: .*did you mean 'training\.epochs'"):
        load_config(TrainConfig, None, ["training.epoch=3"])
    with pytest.raises(ConfigError, match=r"did you mean 'optimizer\.learning_rate'"):
        load_config(TrainConfig, None, ["training.learning_rate=3"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        *(
            (
                [*overrides, setting],
                "trains by CTC: .*label_smoothing .*teacher_forcing have no effect$",
            )
            for overrides in (
                ["model.name=crnn"],
                ["model.decoder_weight=0", "model.decode_with=ctc"],
            )
            for setting in ("training.label_smoothing=0.1", "training.teacher_forcing.end=0.5")
        ),
        (
            ["text.max_chars=40", "model.max_chars=30"],
            r"model\.max_chars 30 is below text\.max_chars 40",
        ),
        (["run.name=a/b"], r"run\.name: 'a/b' cannot be a folder's name; take letters, digits"),
        (["run.name=.a"], r"run\.name: '\.a' cannot be a folder's name"),
        (["run.storage="], r"run\.storage: .*at least 1 character"),
        (["training.epochs=true"], r"training: epochs is a number, got true"),
        (["training.num_streams=true"], r"training: num_streams is a number, got true"),
        (["optimizer.learning_rate=.inf"], r"optimizer\.learning_rate: .*finite"),
        (["training.max_minutes=.inf"], r"training\.max_minutes: .*finite"),
        (["training.epochs=2", "training.frozen_encoder_epochs=3"], "3 goes beyond epochs 2"),
        (
            ["training.teacher_forcing.start=0.5", "training.teacher_forcing.end=0.6"],
            r"training\.teacher_forcing: end 0\.6 is above start 0\.5",
        ),
        (["image.height=3"], r"image\.height: .*greater than or equal to 8, got 3"),
        (
            ["data.renderer.surface.probability=0", "data.renderer.surface.photos=a"],
            r"data\.renderer\.surface: photos has no effect where probability is 0",
        ),
        (["optimizer.warmup=1"], r"optimizer\.warmup: .*less than 1"),
        (["training.epochs=0"], r"training\.epochs: .*greater than 0"),
        (["data.validation_fraction=1"], r"validation_fraction: .*less than 1"),
        (["data.source=parquet"], r"^data\.path: a value is missing, and there is no default$"),
        (["run.name=123"], r"""run\.name: .*; quote it for YAML: run\.name='"123"'$"""),
        (["run.name=2024-01-02"], r"""quote it for YAML: run\.name='"2024-01-02"'$"""),
        (
            ["model.name=crnn", "model.backbone=resnet18"],
            r"^model\.backbone: unknown setting; another kind of this section has it, the chosen",
        ),
        (
            ["model.name=crnn", "model.hiddens=3"],
            r"^model\.hiddens: unknown setting; did you mean 'model\.hidden'\?$",
        ),
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
def test_training_settings_without_effect_or_sense_are_errors(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(TrainConfig, None, overrides)


def test_training_settings_at_the_border_are_accepted() -> None:
    load_config(TrainConfig, None, ["text.max_chars=32", "model.max_chars=32"])
    load_config(TrainConfig, None, ["model.name=crnn", "text.max_chars=40"])
    load_config(TrainConfig, None, ["training.label_smoothing=0.1"])


def test_frozen_batch_norm_needs_a_model_to_start_from(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="frozen_batch_norm keeps the statistics of start_from"):
        tiny_config(tmp_path, "training.frozen_batch_norm=true")
