import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ocr_model.config import load_config
from ocr_model.errors import ConfigError, DatasetError
from ocr_model.making.config import MakeDatasetConfig
from ocr_model.making.plan import make_plan, store_plan
from ocr_model.making.shards import open_output


def _config(output: Path, *overrides: str) -> MakeDatasetConfig:
    return load_config(MakeDatasetConfig, None, [f"output={output}", *overrides])


def _words(path: Path, write_words: Callable[..., Path], num_words: int) -> str:
    return str(write_words(path, [f"word{number}" for number in range(num_words)]))


def test_every_row_is_in_one_shard_and_only_the_last_is_smaller(tmp_path: Path) -> None:
    settings = ("data.num_words=2500", "data.num_validation_words=70", "rows_per_shard=900")
    plan = make_plan(_config(tmp_path, *settings))
    assert [(shard.name, shard.num_rows) for shard in plan.shards] == [
        ("train/train-00000-of-00003.parquet", 900),
        ("train/train-00001-of-00003.parquet", 900),
        ("train/train-00002-of-00003.parquet", 700),
        ("validation/validation-00000-of-00001.parquet", 70),
    ]
    rows = [
        1000 * fragment.part + row
        for shard in plan.shards[:3]
        for fragment, chosen in shard.pieces
        for row in chosen
    ]
    assert rows == list(range(2500))


def test_a_fraction_set_apart_and_the_rest_are_all_rows(
    tmp_path: Path, write_words: Callable[..., Path]
) -> None:
    path = _words(tmp_path / "words.parquet", write_words, 120)
    settings = ("data.source=parquet", f"data.path={path}", "data.validation_fraction=0.25")
    plan = make_plan(_config(tmp_path / "made", *settings))
    rows = [
        (fragment.part, int(row))
        for shard in plan.shards
        for fragment, chosen in shard.pieces
        for row in chosen
    ]
    assert 10 < plan.num_rows("validation") < 50
    assert plan.num_rows("train") + plan.num_rows("validation") == 120
    assert len(set(rows)) == 120


@pytest.mark.parametrize("fraction", [0.0, 0.25])
def test_a_limit_is_kept_exactly_and_always_chooses_the_same(
    tmp_path: Path, write_words: Callable[..., Path], fraction: float
) -> None:
    path = _words(tmp_path / "words.parquet", write_words, 120)
    settings = ["data.source=parquet", f"data.path={path}", "data.limit=60"]
    settings += ["data.validation_limit=7", f"data.validation_fraction={fraction}"]
    config = _config(tmp_path / "made", *settings)
    plan = make_plan(config)
    assert plan.num_rows("train") == 60
    assert plan.num_rows("validation") == (7 if fraction else 0)
    assert plan.digest == make_plan(config).digest
    assert plan.digest != make_plan(_config(tmp_path, *settings, "data.seed=1")).digest


def test_all_validation_rows_are_taken_unless_limited(tmp_path: Path) -> None:
    assert _config(tmp_path).data.validation_limit is None
    assert _config(tmp_path, "data.num_words=5").data.validation_limit is None
    assert _config(tmp_path, "data.validation_limit=9").data.validation_limit == 9


def test_a_subset_that_is_not_there_is_an_error(
    tmp_path: Path, write_words: Callable[..., Path]
) -> None:
    path = _words(tmp_path / "words.parquet", write_words, 3)
    config = _config(tmp_path, "data.source=parquet", f"data.path={path}", "subset=validation")
    with pytest.raises(DatasetError, match="parquet has no validation part"):
        make_plan(config)


def test_a_plan_is_stored_once_and_found_again(tmp_path: Path) -> None:
    config = _config(tmp_path / "made", "data.num_words=10")
    folder = open_output(config)
    assert not store_plan(make_plan(config), folder)
    assert store_plan(make_plan(config.replace(max_tasks=1, num_shown=3)), folder)
    assert json.loads((tmp_path / "made" / "plan.json").read_text())["rows"]["train"] == 10


def test_other_settings_in_the_same_output_are_named(tmp_path: Path) -> None:
    config = _config(tmp_path / "made", "data.num_words=10")
    folder = open_output(config)
    store_plan(make_plan(config), folder)
    other = _config(tmp_path / "made", "data.num_words=10", "data.seed=3", "image_format=jpeg")
    with pytest.raises(DatasetError) as caught:
        store_plan(make_plan(other), folder)
    assert "data.seed was 0, is 3; image_format was None, is 'jpeg'" in str(caught.value)


def test_of_many_other_settings_some_are_named(tmp_path: Path) -> None:
    config = _config(tmp_path / "made", "data.num_words=10")
    folder = open_output(config)
    store_plan(make_plan(config), folder)
    stages = ("tracking", "curve", "border", "distortion", "surface", "clutter")
    off = [f"data.renderer.{stage}.probability=0" for stage in stages]
    with pytest.raises(DatasetError, match=r"( data\.\S+ was \S+, is 0\.0;){4} and 2 more"):
        store_plan(make_plan(_config(tmp_path / "made", "data.num_words=10", *off)), folder)


def test_a_source_that_has_changed_is_refused(
    tmp_path: Path, write_words: Callable[..., Path]
) -> None:
    path = _words(tmp_path / "words.parquet", write_words, 3)
    config = _config(tmp_path / "made", "data.source=parquet", f"data.path={path}")
    folder = open_output(config)
    store_plan(make_plan(config), folder)
    _words(tmp_path / "words.parquet", write_words, 4)
    with pytest.raises(DatasetError, match=r"source has changed .*'train': 3.* now .*'train': 4"):
        store_plan(make_plan(config), folder)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    config = _config(tmp_path, "data.num_words=10")
    with pytest.raises(DatasetError, match=r"has no plan\.json but holds \['README\.md'\]"):
        store_plan(make_plan(config), open_output(config))
    assert (tmp_path / "README.md").read_text() == "mine"


@pytest.mark.parametrize("content", ["", "[]", '{"config": 3}', "{"])
def test_a_damaged_plan_is_an_error_that_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "plan.json").write_text(content)
    config = _config(tmp_path, "data.num_words=10")
    with pytest.raises(DatasetError, match=r"plan\.json cannot be read"):
        store_plan(make_plan(config), open_output(config))


def test_an_output_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"cannot write to output .*file/made"):
        open_output(_config(tmp_path / "file" / "made"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["quality=80"], "quality=80 is of image_format=jpeg only"),
        (["image_format=png", "quality=80"], "quality=80 is of image_format=jpeg only"),
        (["image_format=png", "data.source=folder", "data.path=x"], "passed through untouched"),
    ],
)
def test_an_encoding_without_effect_is_an_error(
    tmp_path: Path, settings: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        _config(tmp_path, *settings)


def test_pieces_name_rows_in_ascending_order(tmp_path: Path) -> None:
    plan = make_plan(_config(tmp_path, "data.num_words=1500", "rows_per_shard=400"))
    for shard in plan.shards:
        for _, rows in shard.pieces:
            assert (np.diff(rows) > 0).all()
