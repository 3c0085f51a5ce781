import csv
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ocr_model.data import folders
from ocr_model.data.fragments import Sample
from ocr_model.data.sources import FolderSource
from ocr_model.errors import DatasetError

SamplesOf = Callable[..., list[Sample]]
LabelsOf = Callable[..., list[str | None]]


def _folder(path: Path, **settings: object) -> FolderSource:
    return FolderSource.model_validate({"source": "folder", "path": str(path), **settings})


def _write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.mark.parametrize("place", ["train/train", "train", "labels/labels", "labels"])
@pytest.mark.parametrize("kind", ["dict", "list", "csv"])
@pytest.mark.parametrize("has_images_folder", [True, False])
def test_labels_are_found_in_every_layout(
    tmp_path: Path,
    plain_picture: Callable[..., bytes],
    place: str,
    kind: str,
    has_images_folder: bool,
    samples_of: SamplesOf,
    labels_of: LabelsOf,
) -> None:
    base = (tmp_path / place).parent
    images = base / "images" if has_images_folder else base
    images.mkdir(parents=True, exist_ok=True)
    for name in ("1.png", "2.png"):
        (images / name).write_bytes(plain_picture())
    labels = {"2.png": "two, or zwo", "1.png": "one"}
    if kind == "dict":
        (base / f"{Path(place).name}.json").write_text(json.dumps(labels))
    elif kind == "list":
        entries = [{"file_name": name, "text": label} for name, label in labels.items()]
        (base / f"{Path(place).name}.json").write_text(json.dumps(entries))
    else:
        rows = [list(pair) for pair in labels.items()]
        _write_csv(base / f"{Path(place).name}.csv", ["filename", "words"], rows)
    source = _folder(tmp_path)
    assert labels_of(source) == ["two, or zwo", "one"]
    assert samples_of(source) == [Sample(plain_picture(), text) for text in labels.values()]
    assert source.fragments("validation") == []


def test_a_list_beside_images_may_name_them_with_their_folder(
    tmp_path: Path, plain_picture: Callable[..., bytes], samples_of: SamplesOf
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(plain_picture())
    (tmp_path / "labels.json").write_text(json.dumps({"images/1.png": "one"}))
    assert samples_of(_folder(tmp_path)) == [Sample(plain_picture(), "one")]


@pytest.mark.parametrize("place", ["val/val.json", "val.json", "validation/validation.json"])
def test_the_validation_part_of_a_folder_has_its_own_list(
    tmp_path: Path, place: str, labels_of: LabelsOf
) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(json.dumps({"1.png": "held out"}))
    (tmp_path / "train.json").write_text(json.dumps({"2.png": "trained"}))
    assert labels_of(_folder(tmp_path), "validation") == ["held out"]
    assert labels_of(_folder(tmp_path)) == ["trained"]


def test_a_null_label_is_missing(tmp_path: Path, labels_of: LabelsOf) -> None:
    (tmp_path / "labels.json").write_text('[{"image": "1.png", "label": null}]')
    assert labels_of(_folder(tmp_path)) == [None]


def test_labels_are_taken_from_file_names_by_a_pattern(
    tmp_path: Path, plain_picture: Callable[..., bytes], labels_of: LabelsOf
) -> None:
    (tmp_path / "deeper").mkdir()
    for name in ("12_slowly_33.PNG", "deeper/7_Run_1.png", "cover.png", "read_me_1.txt"):
        (tmp_path / name).write_bytes(plain_picture())
    source = _folder(tmp_path, stem_pattern=r"\d+_(?P<label>.+)_\d+")
    assert labels_of(source) == ["slowly", None, "Run"]
    assert labels_of(_folder(tmp_path)) == ["12_slowly_33", "cover", "7_Run_1"]


@pytest.mark.parametrize("train", ["train", "."])
def test_images_of_the_validation_folder_are_not_trained_on(
    tmp_path: Path, plain_picture: Callable[..., bytes], train: str, labels_of: LabelsOf
) -> None:
    for folder, name in ((train, "a"), ("val", "b")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{name}.png").write_bytes(plain_picture())
    assert labels_of(_folder(tmp_path)) == ["a"]
    assert labels_of(_folder(tmp_path), "validation") == ["b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n1.png,a,b\n", "line 2 has more fields than the header.*double quotes"),
        ("file,words,\n1.png,x,y,z\n", "line 2 has more fields"),
        ("file,label\n,a\n", "an entry has no text but ''"),
    ],
)
def test_a_ragged_list_is_an_error(
    tmp_path: Path, text: str, message: str, labels_of: LabelsOf
) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DatasetError, match=rf"labels\.csv: {message}"):
        labels_of(_folder(tmp_path))


def test_a_quoted_label_may_have_commas_and_a_row_may_lack_its_label(
    tmp_path: Path, labels_of: LabelsOf
) -> None:
    (tmp_path / "labels.csv").write_text('file,label\n1.png,"a,b"\n2.png\n')
    assert labels_of(_folder(tmp_path)) == ["a,b", None]


def test_a_list_as_label_is_an_error(tmp_path: Path, labels_of: LabelsOf) -> None:
    (tmp_path / "labels.json").write_text(json.dumps({"1.png": ["a"]}))
    with pytest.raises(DatasetError, match=r"labels\.json: an entry has no text but \['a'\]"):
        labels_of(_folder(tmp_path))


def test_a_folder_without_images_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(DatasetError, match=r"no images in .* no list of labels and no file of"):
        _folder(tmp_path).fragments("train")
    (tmp_path / "labels.json").write_text("{}")
    folders.list_images.cache_clear()
    with pytest.raises(DatasetError, match=r"labels\.json is empty: it lists no image"):
        _folder(tmp_path).fragments("train")


def test_a_pattern_without_a_label_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no group named 'label'"):
        _folder(tmp_path, stem_pattern=r"\d+").fragments("train")


def test_an_unreadable_file_gives_a_sample_with_an_error(
    tmp_path: Path, plain_picture: Callable[..., bytes], samples_of: SamplesOf
) -> None:
    (tmp_path / "1.png").write_bytes(plain_picture())
    (tmp_path / "2.png").mkdir()
    labels = {"1.png": "one", "2.png": "two", "3.png": "three"}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    readable, folder, missing = samples_of(_folder(tmp_path))
    assert readable == Sample(plain_picture(), "one")
    assert folder == Sample(None, "two", "unreadable_file: Is a directory")
    assert missing == Sample(None, "three", "unreadable_file: No such file or directory")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1, 2]", "must be an object of labels by file, or a list of objects"),
        ("{", "cannot read .*labels.json"),
        ('[{"image": "1.png", "size": 3}]', r"an entry has none of \('label', .*only \['image'"),
    ],
)
def test_a_list_that_is_not_understood_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(DatasetError, match=message):
        _folder(tmp_path).fragments("train")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no folder .*none"):
        _folder(tmp_path / "none").fragments("train")


@pytest.mark.parametrize("shut", ["train", "sub"])
def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, shut: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / shut).mkdir()
    (tmp_path / "3_one.png").write_bytes(b"")
    scan = os.scandir

    def scandir(place: str) -> object:
        if str(place).endswith(shut):
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", scandir)  # root may list them all
    with pytest.raises(DatasetError, match=rf"cannot read .*{shut}: Permission denied"):
        _folder(tmp_path).fragments("train")


def test_many_files_are_read_in_runs_of_a_thousand(tmp_path: Path, labels_of: LabelsOf) -> None:
    (tmp_path / "labels.json").write_text(json.dumps({f"{i}.png": str(i) for i in range(1002)}))
    source = _folder(tmp_path)
    assert [part.num_rows for part in source.fragments("train")] == [1000, 2]
    assert labels_of(source) == [str(i) for i in range(1002)]
    last = source.read(source.fragments("train")[1], np.array([1]), epoch=0)
    assert [sample.label for sample in last] == ["1001"]
