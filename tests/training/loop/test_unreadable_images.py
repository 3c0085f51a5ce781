import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ocr_model.errors import DatasetError
from ocr_model.training.config import TrainConfig
from ocr_model.training.loop import TrainResult

MakeConfig = Callable[..., TrainConfig]
TrainLocally = Callable[..., TrainResult]


def path_of(config: TrainConfig) -> Path:
    return Path(config.run.storage) / config.run.name


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
