from collections.abc import Callable
from pathlib import Path

import pytest

from ocr_model.config import load_config
from ocr_model.errors import ConfigError
from ocr_model.training.config import TrainConfig

MakeConfig = Callable[..., TrainConfig]


def test_frozen_batch_norm_needs_a_model_to_start_from(
    tiny_config: MakeConfig, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="frozen_batch_norm keeps the statistics of start_from"):
        tiny_config(tmp_path, "training.frozen_batch_norm=true")


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
