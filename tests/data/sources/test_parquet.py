import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from ocr_model.data.fragments import Sample
from ocr_model.data.parquet import filesystem_of
from ocr_model.data.sources import ParquetSource
from ocr_model.errors import DatasetError
from ocr_model.image import decode_image

SamplesOf = Callable[..., list[Sample]]
LabelsOf = Callable[..., list[str | None]]


def _parquet(**settings: object) -> ParquetSource:
    return ParquetSource.model_validate({"source": "parquet", **settings})


def _words(num_words: int) -> list[str]:
    return [f"word{number}" for number in range(num_words)]


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
    tmp_path: Path, plain_picture: Callable[..., bytes], samples_of: SamplesOf, labels_of: LabelsOf
) -> None:
    path = tmp_path / "words.parquet"
    pq.write_table(pa.table({"jpg": [plain_picture("red"), None], "words": [17, None]}), path)
    source = _parquet(path=str(path), image_column="jpg", label_column="words")
    assert labels_of(source) == ["17", None]
    readable, missing = samples_of(source)
    assert readable == Sample(plain_picture("red"), "17")
    assert missing == Sample(None, None, "missing_image")


def test_several_paths_are_read_in_their_order_and_folders_by_name(
    tmp_path: Path, write_words: Callable[..., Path], labels_of: LabelsOf
) -> None:
    folder = tmp_path / "more" / "deeper"
    folder.mkdir(parents=True)
    write_words(folder / "b.parquet", ["b"])
    write_words(folder / "a.parquet", ["a"])
    (folder / "notes.txt").write_text("not data")
    single = write_words(tmp_path / "single.parquet", ["single"])
    source = _parquet(path=[str(single), str(tmp_path / "more")])
    assert labels_of(source) == ["single", "a", "b"]


def test_a_file_uri_is_read_like_its_path(
    tmp_path: Path, write_words: Callable[..., Path], labels_of: LabelsOf
) -> None:
    write_words(tmp_path / "words.parquet", ["one", "two"])
    assert labels_of(_parquet(path=tmp_path.as_uri())) == ["one", "two"]


def test_the_validation_part_of_parquet_is_its_own_path(
    tmp_path: Path, write_words: Callable[..., Path], labels_of: LabelsOf
) -> None:
    train = str(write_words(tmp_path / "a.parquet", ["a"]))
    validation = str(write_words(tmp_path / "b.parquet", ["b"]))
    assert _parquet(path=train).fragments("validation") == []
    assert labels_of(_parquet(path=train, validation_path=validation), "validation") == ["b"]
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
    tmp_path: Path, write_words: Callable[..., Path], labels_of: LabelsOf
) -> None:
    source = _parquet(path=str(write_words(tmp_path / "a.parquet", ["a"])), label_column="text")
    with pytest.raises(DatasetError, match=r"no column 'text'; it has \['image', 'label'\]"):
        labels_of(source)


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
