import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from ocr_model.data.index import index_dataset
from ocr_model.data.labels import TextConfig
from ocr_model.data.page_words import PageWordsSource
from ocr_model.errors import ConfigError
from ocr_model.image import decode_image

BOX = [[10, 20], [70, 20], [70, 40], [10, 40]]
Write = Callable[[list[dict[str, object]]], PageWordsSource]


@pytest.fixture
def source_of(tmp_path: Path) -> Write:
    def write(rows: list[dict[str, object]]) -> PageWordsSource:
        path = tmp_path / "pages.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)
        return PageWordsSource(source="page_words", path=(str(path),))

    return write


def _page(name: str, regions: list[tuple[list[list[int]], str]]) -> dict[str, object]:
    pixels = np.full((60, 100, 3), 255, np.uint8)
    for polygon, _ in regions:
        cv2.fillConvexPoly(pixels, np.array(polygon, np.int32), (200, 60, 20))
    told = [{"polygon": polygon, "text": text} for polygon, text in regions]
    encoded = cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()
    return {"name": name, "image": encoded, "regions": json.dumps(told)}


def test_words_are_cut_out_with_their_margin(source_of: Write) -> None:
    source = source_of(
        [_page("held out", [(BOX, "x")]), _page("a", [(BOX, "Word."), (BOX, "###")])]
    )
    (fragment,) = source.fragments("train")
    assert source.labels(fragment) == ["Word.", None]
    (sample,) = source.read(fragment, np.array([0]), epoch=0)
    assert isinstance(sample.image, bytes)
    crop = decode_image(sample.image)
    height, width, _ = crop.shape  # 60 x 20 and up to a fifth of the height on each side
    assert 20 <= height <= 28
    assert 60 <= width <= 68
    assert (height, width) != (20, 60)
    assert tuple(crop[height // 2, width // 2]) == (200, 60, 20)
    (again,) = source.read(fragment, np.array([0]), epoch=1)
    assert again.image == sample.image


def test_a_turned_word_is_straightened(source_of: Write) -> None:
    upwards = [[40, 55], [40, 5], [60, 5], [60, 55]]  # begins below, reads to the top
    source = source_of([_page("held out", [(BOX, "x")]), _page("a", [(upwards, "word")])])
    (fragment,) = source.fragments("train")
    (sample,) = source.read(fragment, np.array([0]), epoch=0)
    assert isinstance(sample.image, bytes)
    height, width, _ = decode_image(sample.image).shape
    assert width > 2 * height


def test_every_fifth_page_validates(source_of: Write) -> None:
    source = source_of([_page(f"{n}", [(BOX, f"word{n}")]) for n in range(11)])
    index = index_dataset(source, TextConfig())
    assert (index.train.num_rows, index.validation.num_rows) == (8, 3)
    held = [source.labels(fragment)[0] for fragment in source.fragments("validation")]
    assert held == ["word0", "word5", "word10"]


def test_boxes_and_pictures_that_hold_nothing_are_rows_with_an_error(source_of: Write) -> None:
    flat = [[10, 20], [70, 20], [70, 21], [10, 21]]
    outside = [[210, 20], [270, 20], [270, 40], [210, 40]]
    broken = {**_page("c", [(BOX, "lost")]), "image": b"no picture"}
    source = source_of([broken, _page("b", [(flat, "a"), (outside, "b"), (BOX, "c")])])
    (train,), (held,) = source.fragments("train"), source.fragments("validation")
    errors = [sample.error for sample in source.read(train, np.arange(3), epoch=0)]
    assert errors == ["empty_box: flat, or off the page"] * 2 + [""]
    assert source.read(held, np.array([0]), epoch=0)[0].error.startswith("not_an_image")


def test_settings_without_effect_are_errors(source_of: Write) -> None:
    source = source_of([_page("a", [(BOX, "x")])])
    with pytest.raises(ConfigError, match="holdout_every"):
        source.replace(validation_fraction=0.1).fragments("train")
    with pytest.raises(ValidationError):
        source.replace(holdout_every=1)
