import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ocr_model.data.ingest import pack, unpack
from ocr_model.data.page_loading import LocalPages, PageDataConfig
from ocr_model.data.page_sources import RealPagesConfig, read_real_pages
from ocr_model.errors import DatasetError

SMALL: dict[str, Any] = {
    "pages": {"page_side": {"least": 200, "most": 240}, "scene_side": {"least": 200, "most": 240}},
    "crops": {"side": 64},
    "crops_per_page": 2,
    "crops_per_epoch": 24,
    "num_validation_pages": 3,
}


def _pages(**changes: Any) -> LocalPages:  # noqa: ANN401  # any field
    fields = {"config": PageDataConfig.model_validate(SMALL), "batch_size": 4, "seed": 0, **changes}
    return LocalPages(**fields)


def _write_pages(path: Path, *, broken: int | None = None, **changes: str) -> RealPagesConfig:
    buffer = io.BytesIO()
    Image.new("RGB", (120, 80), "white").save(buffer, "PNG")
    box = [[10, 10], [60, 10], [60, 30], [10, 30]]
    regions = [{"polygon": box, "text": "ab c"}, {"polygon": box, "text": "###"}]
    rows = [
        {
            "name": f"page {number}",
            "image": b"no picture" if number == broken else buffer.getvalue(),
            "regions": json.dumps(regions),
            **changes,
        }
        for number in range(6)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return RealPagesConfig(path=(str(path),), share=1.0, holdout_every=3)


def _real(settings: RealPagesConfig) -> LocalPages:
    config = PageDataConfig.model_validate({**SMALL, "real": [settings.model_dump()]})
    return _pages(config=config, real=[read_real_pages(settings)])


def test_an_epoch_read_from_any_step_on_is_the_same() -> None:
    whole = list(_pages().train_batches(1, 0))
    assert len(whole) == 6
    for start in (1, 4, 5):
        later = list(_pages().train_batches(1, start))
        assert len(later) == 6 - start
        for one, other in zip(whole[start:], later, strict=True):
            np.testing.assert_array_equal(one.images, other.images)
            np.testing.assert_array_equal(one.heat, other.heat)
            assert one.keys == other.keys


def test_workers_divide_what_one_would_see() -> None:
    whole = list(_pages().train_batches(0, 0))
    parts = [list(_pages(rank=rank, world_size=2).train_batches(0, 0)) for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(batch.images, np.vstack([first.images, second.images]))
        assert first.num_planned == second.num_planned == 2


def test_no_page_is_rendered_twice() -> None:
    pages = _pages()
    keys = [
        key for epoch in (0, 1) for batch in pages.train_batches(epoch, 0) for key in batch.keys
    ]
    assert len(keys) == 48
    assert len(set(keys)) * pages.config.crops_per_page >= 48
    (one, *_), (other, *_) = (list(pages.train_batches(epoch, 0)) for epoch in (0, 1))
    assert (one.images != other.images).any()


def test_validation_pages_are_divided_and_the_same_each_time() -> None:
    whole = list(_pages().validation_batches())
    first = list(_pages(rank=0, world_size=2).validation_batches())
    second = list(_pages(rank=1, world_size=2).validation_batches())
    assert (len(whole), len(first), len(second)) == (3, 2, 1)
    np.testing.assert_array_equal(whole[1].images, second[0].images)
    assert all(len(batch.quads) == len(batch.is_ignored) for batch in whole)


def test_columns_survive_the_way_through_ray_data() -> None:
    columns = _pages().load_validation(0, 1)
    (found,) = unpack(pack(columns))
    for name, values in columns.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def test_every_third_real_page_validates_and_the_others_train(tmp_path: Path) -> None:
    pages = _real(_write_pages(tmp_path / "pages.parquet"))
    names = {key[-1] for batch in pages.train_batches(0, 0) for key in batch.keys}
    assert names <= {"1", "2", "4", "5"}
    *rendered, first, second = pages.validation_batches()
    assert len(rendered) == 3
    for batch in (first, second):
        assert batch.images.shape == (1, 80, 120, 3)
        assert batch.is_ignored.tolist() == [False, True]


def test_a_picture_that_cannot_be_read_is_listed_not_learnt(tmp_path: Path) -> None:
    pages = _real(_write_pages(tmp_path / "pages.parquet", broken=1))
    batches = list(pages.train_batches(0, 0))
    errors = [why for batch in batches for why in batch.errors.values()]
    assert errors
    assert all("unknown format" in why for why in errors)
    assert all(len(batch.images) == len(batch.keys) == len(batch.heat) for batch in batches)
    pages = _real(_write_pages(tmp_path / "pages.parquet", broken=3))
    *_, batch = pages.validation_batches()
    assert len(batch.images) == len(batch.quads) == 0
    assert len(batch.errors) == 1


def test_other_real_pages_change_the_fingerprint(tmp_path: Path) -> None:
    one = _real(_write_pages(tmp_path / "a.parquet"))
    other = _real(_write_pages(tmp_path / "a.parquet", broken=2))
    assert one.fingerprint != other.fingerprint
    assert _pages().fingerprint == 0


@pytest.mark.parametrize(
    ("regions", "fault"),
    [
        ("no json", "regions of .*page 0 are not understood"),
        ('[{"text": "a"}]', "KeyError"),
        ('[{"polygon": [[0, 0]], "text": "a"}]', r"shape \(1, 2\); it must have four corners"),
    ],
)
def test_regions_of_another_form_are_an_error(tmp_path: Path, regions: str, fault: str) -> None:
    settings = _write_pages(tmp_path / "pages.parquet", regions=regions)
    with pytest.raises(DatasetError, match=fault):
        read_real_pages(settings)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    settings = RealPagesConfig(path=(str(tmp_path / "none.parquet"),))
    with pytest.raises(DatasetError, match="cannot read pages from"):
        read_real_pages(settings)
