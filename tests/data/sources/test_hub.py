from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocr_model.data.fragments import Sample
from ocr_model.data.sources import HuggingFaceSource
from ocr_model.errors import DatasetError
from ocr_model.image import decode_image

SamplesOf = Callable[..., list[Sample]]
LabelsOf = Callable[..., list[str | None]]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for a dataset; nothing is fetched, and the cache is beside it."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    folder = tmp_path / "dataset"
    folder.mkdir()
    return folder


def _words(num_words: int) -> list[str]:
    return [f"word{number}" for number in range(num_words)]


def test_a_dataset_of_parquet_files_is_read_through_datasets(
    hub: Path, write_words: Callable[..., Path], samples_of: SamplesOf, labels_of: LabelsOf
) -> None:
    write_words(hub / "train-00000.parquet", _words(3))
    write_words(hub / "validation-00000.parquet", ["held"], {0: b""})
    source = HuggingFaceSource(source="huggingface", path=str(hub), validation_split="validation")
    assert labels_of(source) == _words(3)
    assert [sample.label for sample in samples_of(source)] == _words(3)
    image = samples_of(source)[0].image
    assert image is not None
    assert decode_image(image).ndim == 3
    assert labels_of(source, "validation") == ["held"]
    assert samples_of(source, "validation")[0].error == "missing_image"


def test_a_dataset_of_image_files_is_read_with_the_names_of_its_classes(
    hub: Path, plain_picture: Callable[..., bytes], samples_of: SamplesOf, labels_of: LabelsOf
) -> None:
    for name in ("cat", "dog"):
        (hub / "train" / name).mkdir(parents=True)
        (hub / "train" / name / "0.png").write_bytes(plain_picture())
    source = HuggingFaceSource(source="huggingface", path=str(hub))
    assert labels_of(source) == ["cat", "dog"]
    assert samples_of(source) == [Sample(plain_picture(), name) for name in ("cat", "dog")]
    (hub / "train" / "dog" / "0.png").unlink()
    assert samples_of(source)[1].error == "unreadable_file: No such file or directory"


def test_a_class_that_a_row_lacks_is_no_label(
    hub: Path, plain_picture: Callable[..., bytes], samples_of: SamplesOf, labels_of: LabelsOf
) -> None:
    kinds = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a"])}
    )
    rows = {"image": [{"bytes": plain_picture(), "path": None}] * 2, "label": [0, None]}
    datasets.Dataset.from_dict(rows, kinds).to_parquet(str(hub / "train-00000.parquet"))
    source = HuggingFaceSource(source="huggingface", path=str(hub))
    assert labels_of(source) == ["a", None]
    assert [sample.label for sample in samples_of(source)] == ["a", None]


def test_a_dataset_without_the_split_or_column_is_an_error(
    hub: Path, write_words: Callable[..., Path], labels_of: LabelsOf
) -> None:
    write_words(hub / "train-00000.parquet", _words(3))
    source = HuggingFaceSource(source="huggingface", path=str(hub))
    assert source.fragments("validation") == []
    with pytest.raises(DatasetError, match="cannot load split 'dev'"):
        source.replace(validation_split="dev").fragments("validation")
    with pytest.raises(DatasetError, match=r"no column 'text'; the dataset has \['image'"):
        labels_of(source.replace(label_column="text"))


def test_columns_of_the_wrong_kind_are_errors(
    hub: Path, samples_of: SamplesOf, labels_of: LabelsOf
) -> None:
    table = pa.table({"image": [7], "label": [["a"]], "text": ["a"]})
    pq.write_table(table, hub / "train-00000.parquet")
    source = HuggingFaceSource(source="huggingface", path=str(hub))
    with pytest.raises(DatasetError, match=r"column 'label' holds List.*labels are text"):
        labels_of(source)
    with pytest.raises(DatasetError, match=r"column 'image' holds Value.*no images"):
        samples_of(source.replace(label_column="text"))


def test_a_dataset_that_is_not_there_is_an_error(hub: Path) -> None:
    source = HuggingFaceSource(source="huggingface", path=str(hub / "none"))
    with pytest.raises(DatasetError, match="cannot load split 'train'"):
        source.fragments("train")
