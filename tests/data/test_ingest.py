import gc
import weakref

import numpy as np
import pyarrow as pa
import pytest

from ocr_model.data.fragments import Fragment
from ocr_model.data.ingest import pack, scan_in_parallel, unpack
from ocr_model.data.labels import FragmentScan
from ocr_model.data.loading import Columns
from ocr_model.errors import DatasetError


def _columns(size: int, height: int, width: int, seed: int = 0) -> Columns:
    rng = np.random.default_rng(seed)
    return {
        "images": rng.integers(0, 256, (size, height, width, 3), np.uint8),
        "content_width": rng.integers(1, width + 1, size),
        "class_ids": rng.integers(0, 40, (size, 9)),
        "num_chars": rng.integers(1, 10, size),
        "label": np.array([f"wörd{n}" for n in range(size)], object),
        "key": np.array([f"a.parquet#0:{n}" for n in range(size)], object),
        "error": np.array(["", "empty: zero bytes"] * size, object)[:size],
    }


def test_steps_of_several_shapes_share_a_block_and_come_out_as_they_went_in() -> None:
    steps = [_columns(4, 32, 64), _columns(8, 32, 32, seed=1), _columns(1, 48, 96, seed=2)]
    block = pa.concat_tables([pack(columns) for columns in steps]).combine_chunks()
    assert block.num_rows == 3
    for found, expected in zip(unpack(block), steps, strict=True):
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            assert found[name].dtype == values.dtype
            np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("is_read", [False, True])
def test_what_was_packed_is_freed_with_its_table(is_read: bool) -> None:
    columns = _columns(4, 32, 64)
    images = weakref.ref(columns["images"])
    table = pack(columns)
    if is_read:
        assert len(list(unpack(table))) == 1
    del columns, table
    gc.collect()
    assert images() is None


def test_what_a_remote_scan_refuses_is_raised_as_it_was(ray_cluster: None) -> None:
    def refuse(fragment: Fragment) -> FragmentScan:
        raise DatasetError("broken")

    fragments = [Fragment(str(number), 1, number) for number in range(65)]
    with pytest.raises(DatasetError, match=r"^broken$") as raised:
        list(scan_in_parallel(refuse, fragments))
    assert type(raised.value) is DatasetError
