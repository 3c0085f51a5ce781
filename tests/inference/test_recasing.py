import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocr_model.errors import ConfigError, DatasetError
from ocr_model.inference.recasing import RecaseConfig, recase_file

_TEXTS = ("market", "HOTEL", "London", "Bridge", "1805")


def _drawn(text: str) -> np.ndarray:
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, 1.4, 2)
    pixels = np.full((60, width + 16, 3), 255, np.uint8)
    cv2.putText(pixels, text, (8, 44), cv2.FONT_HERSHEY_DUPLEX, 1.4, (0, 0, 0), 2)
    return pixels


def _png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def _recase(tmp_path: Path, columns: dict[str, list[object]]) -> tuple[pa.Table, dict[str, int]]:
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    config = RecaseConfig(input=tmp_path / "in.parquet", output=tmp_path / "new" / "out.parquet")
    counts = recase_file(config)
    return pq.read_table(config.output), dict(counts)


def test_words_in_capitals_get_the_case_that_is_seen(tmp_path: Path) -> None:
    labels = [text.upper() for text in _TEXTS]
    table, counts = _recase(
        tmp_path, {"image": [_png(_drawn(text)) for text in _TEXTS], "label": labels}
    )
    assert table["label"].to_pylist() == list(_TEXTS)
    assert counts == {"changed": 3, "kept": 1, "without case": 1}


def test_labels_with_small_letters_stay_and_so_do_pictures_that_are_none(tmp_path: Path) -> None:
    columns = {"name": ["a", "b"], "image": [_png(_drawn("MARKET")), b"none"]}
    table, counts = _recase(tmp_path, {**columns, "label": ["Market", "HOTEL"]})
    assert table["label"].to_pylist() == ["Market", "HOTEL"]
    assert table["name"].to_pylist() == ["a", "b"]
    assert counts == {"kept": 2}


def test_the_regions_of_a_page_get_their_case(tmp_path: Path) -> None:
    page, regions = np.full((300, 400, 3), 255, np.uint8), []
    for row, text in enumerate(_TEXTS[:3]):
        word, top = _drawn(text), 20 + 90 * row
        height, width = word.shape[:2]
        page[top : top + height, 30 : 30 + width] = word
        polygon = [[30, top], [30 + width, top], [30 + width, top + height], [30, top + height]]
        regions.append({"polygon": polygon, "text": text.upper(), "kind": "line"})
    regions.append({"polygon": regions[0]["polygon"], "text": "###", "kind": "noise"})
    table, _ = _recase(tmp_path, {"image": [_png(page)], "regions": [json.dumps(regions)]})
    (told,) = map(json.loads, table["regions"].to_pylist())
    assert [region["text"] for region in told] == ["market", "HOTEL", "London", "###"]
    assert [region["kind"] for region in told] == ["line", "line", "line", "noise"]


def test_the_rows_that_are_held_out_stay_those_where_the_name_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = [f"{number}" for number in range(7)]
    words = pa.table({"image": [_png(_drawn("1"))] * 7, "label": labels})
    pq.write_table(words, tmp_path / "in.parquet", row_group_size=3)
    for name in ("in.parquet", "out.parquet"):
        recase_file(RecaseConfig(input=tmp_path / "in.parquet", output=tmp_path / "new" / name))
        assert ("of out.parquet, validation_fraction holds other rows" in caplog.text) == (
            name == "out.parquet"
        )
    with pq.ParquetFile(tmp_path / "new" / "in.parquet") as file:
        groups = [file.read_row_group(part)["label"].to_pylist() for part in range(3)]
    assert groups == [labels[:3], labels[3:6], labels[6:]]


def test_a_file_without_rows_stays_one(tmp_path: Path) -> None:
    empty = pa.schema([("image", pa.binary()), ("label", pa.string())]).empty_table()
    pq.write_table(empty, tmp_path / "in.parquet")
    config = RecaseConfig(input=tmp_path / "in.parquet", output=tmp_path / "new" / "in.parquet")
    assert recase_file(config) == {}
    assert pq.read_table(config.output).equals(empty)


def test_files_without_words_and_pages_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected `image` with `label`, which is text, or with"):
        _recase(tmp_path, {"text": ["a"]})
    (tmp_path / "no.parquet").write_bytes(b"none")
    with pytest.raises(DatasetError, match="cannot be read as Parquet"):
        recase_file(RecaseConfig(input=tmp_path / "no.parquet", output=tmp_path / "out"))


@pytest.mark.parametrize(("name", "why"), [("", "is a folder"), ("file/x.parquet", "cannot write")])
def test_an_output_that_cannot_be_written_is_told_before_anything_is_read(
    tmp_path: Path, name: str, why: str
) -> None:
    (tmp_path / "file").touch()
    config = RecaseConfig(input=tmp_path / "none.parquet", output=tmp_path / name)
    with pytest.raises(ConfigError, match=why):
        recase_file(config)


def test_pictures_may_be_as_the_hub_has_them_and_labels_null_or_not_to_be_written(
    tmp_path: Path,
) -> None:
    cells = [{"bytes": _png(_drawn("London")), "path": None} for _ in range(3)]
    labels = ["LONDON", None, "\u041c\u041e\u0421\u041a\u0412\u0410"]
    table, counts = _recase(tmp_path, {"image": [*cells], "label": [*labels]})
    assert table["label"].to_pylist() == ["London", *labels[1:]]
    assert counts == {"changed": 1, "without case": 1, "kept": 1}


def test_pages_that_are_no_pictures_are_counted_and_odd_ones_named(tmp_path: Path) -> None:
    square = [[0, 0], [1, 0], [1, 1], [0, 1]]
    regions = json.dumps([{"polygon": square, "text": "A"}, {"polygon": square, "text": "B"}])
    _, counts = _recase(tmp_path, {"image": [b"none"], "regions": [regions]})
    assert counts == {"unreadable": 2}
    for odd in ("{", json.dumps([{"polygon": [*square, *square], "text": "A"}]), "[1]"):
        with pytest.raises(DatasetError, match=r"in\.parquet, row 0"):
            _recase(tmp_path, {"image": [b"none"], "regions": [odd]})
