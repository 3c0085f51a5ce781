from collections.abc import Callable
from pathlib import Path

import pytest

from ocr_model.data.fragments import Sample
from ocr_model.data.sources import MJSynthSource
from ocr_model.errors import ConfigError, DatasetError

SamplesOf = Callable[..., list[Sample]]
LabelsOf = Callable[..., list[str | None]]


def test_a_mirror_of_mjsynth_is_split_by_file_names(
    tmp_path: Path, write_words: Callable[..., Path], samples_of: SamplesOf, labels_of: LabelsOf
) -> None:
    write_words(tmp_path / "train-00000-of-00002.parquet", ["a"])
    write_words(tmp_path / "train-00001-of-00002.parquet", ["b"])
    write_words(tmp_path / "val-00000-of-00001.parquet", ["c"])
    write_words(tmp_path / "test-00000-of-00001.parquet", ["d"])
    source = MJSynthSource(source="mjsynth", path=str(tmp_path))
    assert labels_of(source) == ["a", "b"]
    assert labels_of(source, "validation") == ["c"]
    assert [sample.label for sample in samples_of(source)] == ["a", "b"]


def test_a_mirror_without_a_validation_part_names_what_it_has(
    tmp_path: Path, write_words: Callable[..., Path]
) -> None:
    write_words(tmp_path / "train-0.parquet", ["a"])
    source = MJSynthSource(source="mjsynth", path=str(tmp_path))
    with pytest.raises(DatasetError, match=r"no val\*\.parquet under .*train-0\.parquet"):
        source.fragments("validation")


def test_mjsynth_takes_no_validation_fraction(tmp_path: Path) -> None:
    source = MJSynthSource(source="mjsynth", path=str(tmp_path), validation_fraction=0.1)
    with pytest.raises(ConfigError, match="has a validation part"):
        source.fragments("train")
