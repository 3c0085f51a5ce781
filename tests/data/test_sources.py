import csv
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import matplotlib as mpl
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from ocr_model.data import folders
from ocr_model.data.fragments import Fragment, Sample
from ocr_model.data.parquet import filesystem_of
from ocr_model.data.source_config import SourceConfig, Subset
from ocr_model.data.sources import (
    FolderSource,
    HuggingFaceSource,
    MJSynthSource,
    ParquetSource,
)
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.errors import ConfigError, DatasetError
from ocr_model.image import decode_image


def _parquet(**settings: object) -> ParquetSource:
    return ParquetSource.model_validate({"source": "parquet", **settings})


def _folder(path: Path, **settings: object) -> FolderSource:
    return FolderSource.model_validate({"source": "folder", "path": str(path), **settings})


def _labels(source: SourceConfig, subset: Subset = "train") -> list[str | None]:
    return [label for part in source.fragments(subset) for label in source.labels(part)]


def _samples(source: SourceConfig, subset: Subset = "train", epoch: int = 0) -> list[Sample]:
    return [
        sample
        for part in source.fragments(subset)
        for sample in source.read(part, np.arange(part.num_rows), epoch=epoch)
    ]


def _words(num_words: int) -> list[str]:
    return [f"word{number}" for number in range(num_words)]


# Parquet


def test_parquet_in_the_hubs_schema_is_read_by_row_group(
    tmp_path: Path, write_words: Callable[..., Path]
) -> None:
    path = write_words(tmp_path / "words.parquet", _words(60))
    source = _parquet(path=str(path))
    first, second = source.fragments("train")
    assert (first.num_rows, second.num_rows) == (50, 10)
    assert list(source.labels(second)) == _words(60)[50:]
    samples = source.read(second, np.array([7, 0]), epoch=0)
    assert [sample.label for sample in samples] == ["word57", "word50"]
    assert all(decode_image(sample.image).shape[2] == 3 for sample in samples if sample.image)


def test_parquet_with_binary_columns_of_other_names_is_read(
    tmp_path: Path, plain_picture: Callable[..., bytes]
) -> None:
    path = tmp_path / "words.parquet"
    pq.write_table(pa.table({"jpg": [plain_picture("red"), None], "words": [17, None]}), path)
    source = _parquet(path=str(path), image_column="jpg", label_column="words")
    assert _labels(source) == ["17", None]
    readable, missing = _samples(source)
    assert readable == Sample(plain_picture("red"), "17")
    assert missing == Sample(None, None, "missing_image")


def test_several_paths_are_read_in_their_order_and_folders_by_name(
    tmp_path: Path, write_words: Callable[..., Path]
) -> None:
    folder = tmp_path / "more" / "deeper"
    folder.mkdir(parents=True)
    write_words(folder / "b.parquet", ["b"])
    write_words(folder / "a.parquet", ["a"])
    (folder / "notes.txt").write_text("not data")
    single = write_words(tmp_path / "single.parquet", ["single"])
    source = _parquet(path=[str(single), str(tmp_path / "more")])
    assert _labels(source) == ["single", "a", "b"]


def test_a_file_uri_is_read_like_its_path(tmp_path: Path, write_words: Callable[..., Path]) -> None:
    write_words(tmp_path / "words.parquet", ["one", "two"])
    assert _labels(_parquet(path=tmp_path.as_uri())) == ["one", "two"]


def test_the_validation_part_of_parquet_is_its_own_path(
    tmp_path: Path, write_words: Callable[..., Path]
) -> None:
    train = str(write_words(tmp_path / "a.parquet", ["a"]))
    validation = str(write_words(tmp_path / "b.parquet", ["b"]))
    assert _parquet(path=train).fragments("validation") == []
    assert _labels(_parquet(path=train, validation_path=validation), "validation") == ["b"]
    with pytest.raises(ValidationError, match="exclude each other"):
        _parquet(path=train, validation_path=validation, validation_fraction=0.1)


def test_a_file_that_is_listed_twice_is_an_error(
    tmp_path: Path, write_words: Callable[..., Path]
) -> None:
    path = write_words(tmp_path / "a.parquet", ["a"])
    for other in (str(path), str(tmp_path), path.as_uri(), f"{tmp_path}/../{tmp_path.name}"):
        with pytest.raises(DatasetError, match=r"a\.parquet is listed twice"):
            _parquet(path=[str(path), other]).fragments("train")


def test_a_missing_column_names_those_that_are_there(
    tmp_path: Path, write_words: Callable[..., Path]
) -> None:
    source = _parquet(path=str(write_words(tmp_path / "a.parquet", ["a"])), label_column="text")
    with pytest.raises(DatasetError, match=r"no column 'text'; it has \['image', 'label'\]"):
        _labels(source)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ([{"path": "a"}], ["a"], r"column 'image' of .* holds struct<path: string>; images are"),
        ([{"bytes": 3}], ["a"], r"column 'image' of .* holds struct<bytes: int64>; images are"),
        ([7], ["a"], r"column 'image' of .* holds int64; images are binary"),
        (["path.png"], ["a"], r"column 'image' of .* holds string; images are binary"),
        ([b"x"], [["a"]], r"column 'label' of .* holds list<.*>; labels are text"),
        ([b"x"], [b"a"], r"column 'label' of .* holds binary; labels are text"),
    ],
)
def test_a_column_of_the_wrong_kind_is_named(
    tmp_path: Path, images: list[object], labels: list[object], message: str
) -> None:
    path = tmp_path / "words.parquet"
    pq.write_table(pa.table({"image": images, "label": labels}), path)
    with pytest.raises(DatasetError, match=message):
        _parquet(path=str(path)).fragments("train")


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "words.parquet"
    path.write_text("image,label\n")
    with pytest.raises(DatasetError, match=r"words\.parquet is not readable as Parquet"):
        _parquet(path=str(path)).fragments("train")


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"there is no data at .*none"):
        _parquet(path=str(tmp_path / "none")).fragments("train")


def test_a_folder_without_parquet_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="found no Parquet file"):
        _parquet(path=str(tmp_path)).fragments("train")


def test_an_address_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(DatasetError, match="cannot open gopher://x/y"):
        filesystem_of("gopher://x/y")


def test_a_flipped_byte_is_found_where_pages_have_checksums(tmp_path: Path) -> None:
    table = pa.table({"image": [b"picture"] * 3, "label": ["harbour"] * 3})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, write_page_checksum=True, compression="none")
    source = _parquet(path=str(path))
    fragment = source.fragments("train")[0]
    assert source.labels(fragment) == ["harbour"] * 3
    path.write_bytes(path.read_bytes().replace(b"harbour", b"harvour", 1))
    with pytest.raises(DatasetError, match=r"row group 0 of .*a\.parquet is damaged"):
        source.labels(fragment)


def test_a_damaged_row_group_is_named(tmp_path: Path, write_words: Callable[..., Path]) -> None:
    path = write_words(tmp_path / "a.parquet", _words(5))
    content = bytearray(path.read_bytes())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    content[4:footer] = bytes(footer - 4)
    source = _parquet(path=str(path))
    fragments = source.fragments("train")
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"row group 0 of .*a\.parquet is damaged"):
        source.read(fragments[0], np.arange(5), epoch=0)


# MJSynth


def test_a_mirror_of_mjsynth_is_split_by_file_names(
    tmp_path: Path, write_words: Callable[..., Path]
) -> None:
    write_words(tmp_path / "train-00000-of-00002.parquet", ["a"])
    write_words(tmp_path / "train-00001-of-00002.parquet", ["b"])
    write_words(tmp_path / "val-00000-of-00001.parquet", ["c"])
    write_words(tmp_path / "test-00000-of-00001.parquet", ["d"])
    source = MJSynthSource(source="mjsynth", path=str(tmp_path))
    assert _labels(source) == ["a", "b"]
    assert _labels(source, "validation") == ["c"]
    assert [sample.label for sample in _samples(source)] == ["a", "b"]


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


# Hub datasets


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for a dataset; nothing is fetched, and the cache is beside it."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    folder = tmp_path / "dataset"
    folder.mkdir()
    return folder


def test_a_dataset_of_parquet_files_is_read_through_datasets(
    hub: Path, write_words: Callable[..., Path]
) -> None:
    write_words(hub / "train-00000.parquet", _words(3))
    write_words(hub / "validation-00000.parquet", ["held"], {0: b""})
    source = HuggingFaceSource(source="huggingface", path=str(hub), validation_split="validation")
    assert _labels(source) == _words(3)
    assert [sample.label for sample in _samples(source)] == _words(3)
    image = _samples(source)[0].image
    assert image is not None
    assert decode_image(image).ndim == 3
    assert _labels(source, "validation") == ["held"]
    assert _samples(source, "validation")[0].error == "missing_image"


def test_a_dataset_of_image_files_is_read_with_the_names_of_its_classes(
    hub: Path, plain_picture: Callable[..., bytes]
) -> None:
    for name in ("cat", "dog"):
        (hub / "train" / name).mkdir(parents=True)
        (hub / "train" / name / "0.png").write_bytes(plain_picture())
    source = HuggingFaceSource(source="huggingface", path=str(hub))
    assert _labels(source) == ["cat", "dog"]
    assert _samples(source) == [Sample(plain_picture(), name) for name in ("cat", "dog")]
    (hub / "train" / "dog" / "0.png").unlink()
    assert _samples(source)[1].error == "unreadable_file: No such file or directory"


def test_a_class_that_a_row_lacks_is_no_label(
    hub: Path, plain_picture: Callable[..., bytes]
) -> None:
    kinds = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a"])}
    )
    rows = {"image": [{"bytes": plain_picture(), "path": None}] * 2, "label": [0, None]}
    datasets.Dataset.from_dict(rows, kinds).to_parquet(str(hub / "train-00000.parquet"))
    source = HuggingFaceSource(source="huggingface", path=str(hub))
    assert _labels(source) == ["a", None]
    assert [sample.label for sample in _samples(source)] == ["a", None]


def test_a_dataset_without_the_split_or_column_is_an_error(
    hub: Path, write_words: Callable[..., Path]
) -> None:
    write_words(hub / "train-00000.parquet", _words(3))
    source = HuggingFaceSource(source="huggingface", path=str(hub))
    assert source.fragments("validation") == []
    with pytest.raises(DatasetError, match="cannot load split 'dev'"):
        source.replace(validation_split="dev").fragments("validation")
    with pytest.raises(DatasetError, match=r"no column 'text'; the dataset has \['image'"):
        _labels(source.replace(label_column="text"))


def test_columns_of_the_wrong_kind_are_errors(hub: Path) -> None:
    table = pa.table({"image": [7], "label": [["a"]], "text": ["a"]})
    pq.write_table(table, hub / "train-00000.parquet")
    source = HuggingFaceSource(source="huggingface", path=str(hub))
    with pytest.raises(DatasetError, match=r"column 'label' holds List.*labels are text"):
        _labels(source)
    with pytest.raises(DatasetError, match=r"column 'image' holds Value.*no images"):
        _samples(source.replace(label_column="text"))


def test_a_dataset_that_is_not_there_is_an_error(hub: Path) -> None:
    source = HuggingFaceSource(source="huggingface", path=str(hub / "none"))
    with pytest.raises(DatasetError, match="cannot load split 'train'"):
        source.fragments("train")


# Folders


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
    assert _labels(source) == ["two, or zwo", "one"]
    assert _samples(source) == [Sample(plain_picture(), text) for text in labels.values()]
    assert source.fragments("validation") == []


def test_a_list_beside_images_may_name_them_with_their_folder(
    tmp_path: Path, plain_picture: Callable[..., bytes]
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(plain_picture())
    (tmp_path / "labels.json").write_text(json.dumps({"images/1.png": "one"}))
    assert _samples(_folder(tmp_path)) == [Sample(plain_picture(), "one")]


@pytest.mark.parametrize("place", ["val/val.json", "val.json", "validation/validation.json"])
def test_the_validation_part_of_a_folder_has_its_own_list(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(json.dumps({"1.png": "held out"}))
    (tmp_path / "train.json").write_text(json.dumps({"2.png": "trained"}))
    assert _labels(_folder(tmp_path), "validation") == ["held out"]
    assert _labels(_folder(tmp_path)) == ["trained"]


def test_a_null_label_is_missing(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('[{"image": "1.png", "label": null}]')
    assert _labels(_folder(tmp_path)) == [None]


def test_labels_are_taken_from_file_names_by_a_pattern(
    tmp_path: Path, plain_picture: Callable[..., bytes]
) -> None:
    (tmp_path / "deeper").mkdir()
    for name in ("12_slowly_33.PNG", "deeper/7_Run_1.png", "cover.png", "read_me_1.txt"):
        (tmp_path / name).write_bytes(plain_picture())
    source = _folder(tmp_path, stem_pattern=r"\d+_(?P<label>.+)_\d+")
    assert _labels(source) == ["slowly", None, "Run"]
    assert _labels(_folder(tmp_path)) == ["12_slowly_33", "cover", "7_Run_1"]


@pytest.mark.parametrize("train", ["train", "."])
def test_images_of_the_validation_folder_are_not_trained_on(
    tmp_path: Path, plain_picture: Callable[..., bytes], train: str
) -> None:
    for folder, name in ((train, "a"), ("val", "b")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"{name}.png").write_bytes(plain_picture())
    assert _labels(_folder(tmp_path)) == ["a"]
    assert _labels(_folder(tmp_path), "validation") == ["b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n1.png,a,b\n", "line 2 has more fields than the header.*double quotes"),
        ("file,words,\n1.png,x,y,z\n", "line 2 has more fields"),
        ("file,label\n,a\n", "an entry has no text but ''"),
    ],
)
def test_a_ragged_list_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DatasetError, match=rf"labels\.csv: {message}"):
        _labels(_folder(tmp_path))


def test_a_quoted_label_may_have_commas_and_a_row_may_lack_its_label(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text('file,label\n1.png,"a,b"\n2.png\n')
    assert _labels(_folder(tmp_path)) == ["a,b", None]


def test_a_list_as_label_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps({"1.png": ["a"]}))
    with pytest.raises(DatasetError, match=r"labels\.json: an entry has no text but \['a'\]"):
        _labels(_folder(tmp_path))


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
    tmp_path: Path, plain_picture: Callable[..., bytes]
) -> None:
    (tmp_path / "1.png").write_bytes(plain_picture())
    (tmp_path / "2.png").mkdir()
    labels = {"1.png": "one", "2.png": "two", "3.png": "three"}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    readable, folder, missing = _samples(_folder(tmp_path))
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


def test_many_files_are_read_in_runs_of_a_thousand(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps({f"{i}.png": str(i) for i in range(1002)}))
    source = _folder(tmp_path)
    assert [part.num_rows for part in source.fragments("train")] == [1000, 2]
    assert _labels(source) == [str(i) for i in range(1002)]
    last = source.read(source.fragments("train")[1], np.array([1]), epoch=0)
    assert [sample.label for sample in last] == ["1001"]


# Rendered words


def test_rendered_words_depend_on_seed_and_epoch_only() -> None:
    source = SyntheticSource(num_words=8)
    first, again = _samples(source), _samples(SyntheticSource(num_words=8))
    for one, other in zip(first, again, strict=True):
        assert one.label == other.label
        assert isinstance(one.image, np.ndarray)
        assert isinstance(other.image, np.ndarray)
        np.testing.assert_array_equal(one.image, other.image)
    words = [sample.label for sample in first]
    assert [sample.label for sample in _samples(source, epoch=1)] != words
    assert [sample.label for sample in _samples(SyntheticSource(num_words=8, seed=1))] != words
    assert _labels(source) == words


def test_rendered_validation_words_are_the_same_in_every_epoch() -> None:
    source = SyntheticSource(num_validation_words=8)
    first = [sample.label for sample in _samples(source, "validation")]
    assert [sample.label for sample in _samples(source, "validation", epoch=5)] == first


def test_rendered_validation_words_are_never_trained_on_in_whatever_case() -> None:
    source = SyntheticSource(num_words=3000, num_validation_words=1500)
    trained = {str(label).casefold() for label in _labels(source)}
    held_out = {str(label).casefold() for label in _labels(source, "validation")}
    assert len(trained) > 1000
    assert len(held_out) > 300
    assert all(len(text) < 3 and not text.isalpha() for text in trained & held_out)


def test_rendered_words_have_all_cases_and_numbers() -> None:
    labels = [str(label) for label in _labels(SyntheticSource(num_words=300))]
    assert any(label.islower() for label in labels)
    assert any(label.isupper() for label in labels)
    assert any(label.istitle() for label in labels)
    assert any(label.isdigit() for label in labels)
    assert all(label.isascii() and label.isalnum() for label in labels)


def test_a_machine_with_other_fonts_refuses_to_render() -> None:
    source = SyntheticSource(num_words=8)
    (planned,) = source.fragments("train")
    elsewhere = Fragment("synthetic:00000000@train", 0, planned.num_rows)
    with pytest.raises(DatasetError, match="planned with 00000000"):
        source.read(elsewhere, np.array([0]), epoch=0)


def test_a_word_that_no_single_font_can_draw_is_a_sample_with_an_error(tmp_path: Path) -> None:
    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
    for name in ("DejaVuSans.ttf", "DejaVuSansMono.ttf"):
        shutil.copy(fonts / name, tmp_path)
    lexicon = tmp_path / "words.txt"  # one has the first sign, the other the second
    lexicon.write_text("\n".join(f"Ǆ⌒{n}" for n in range(50)), encoding="utf-8")
    source = SyntheticSource.model_validate(
        {
            "num_words": 50,
            "lexicon": {"path": str(lexicon), "shares": {"number": 0, "code": 0}},
            "renderer": {"fonts": {"packages": False, "system": False, "folders": [str(tmp_path)]}},
        }
    )
    samples = _samples(source)
    assert len(samples) == 50
    assert all(sample.image is None for sample in samples)
    assert samples[0].error.startswith("undrawable: none of 2 fonts has all characters of 'Ǆ⌒")


def test_rendered_words_take_no_validation_fraction() -> None:
    with pytest.raises(ConfigError, match="validation words of its own"):
        SyntheticSource(validation_fraction=0.1).fragments("train")


def test_the_key_of_a_fragment_does_not_depend_on_its_folder(
    tmp_path: Path, write_words: Callable[..., Path]
) -> None:
    path = write_words(tmp_path / "words.parquet", _words(60))
    (tmp_path / "moved").mkdir()
    copy = shutil.copy(path, tmp_path / "moved")
    here = [part.key for part in _parquet(path=str(path)).fragments("train")]
    there = [part.key for part in _parquet(path=str(copy)).fragments("train")]
    assert here == there
    assert len(set(here)) == 2


def test_rendered_words_are_eased_and_read_the_same() -> None:
    source = SyntheticSource(num_words=200)
    fragment, rows = source.fragments("train")[0], np.arange(200)
    whole = source.read(fragment, rows, epoch=1)
    eased = source.eased(0.1).read(fragment, rows, epoch=1)
    assert [sample.label for sample in eased] == [sample.label for sample in whole]
    assert [_roughness(sample) for sample in eased] != [_roughness(sample) for sample in whole]
    assert np.median([*map(_roughness, eased)]) < 0.8 * np.median([*map(_roughness, whole)])
    assert source.fragments("train") == source.eased(0.1).fragments("train")


def _roughness(sample: Sample) -> float:
    """Say how much neighbouring pixels differ along the upper rim, where there is no ink."""
    assert isinstance(sample.image, np.ndarray)
    return float(np.abs(np.diff(sample.image[:2].astype(int), axis=1)).mean())
