import json
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocr_model.config import load_config
from ocr_model.data.reports import SubsetReport
from ocr_model.data.sources import MJSynthSource, ParquetSource
from ocr_model.errors import DatasetError
from ocr_model.image import decode_image
from ocr_model.making.card import write_card
from ocr_model.making.config import MakeDatasetConfig
from ocr_model.making.plan import Plan, make_plan, store_plan
from ocr_model.making.shards import encode_shard, find_accounts, make_shard, open_output
from ocr_model.storage import Folder

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def _config(output: Path, *overrides: str) -> MakeDatasetConfig:
    return load_config(MakeDatasetConfig, None, [f"output={output}", *overrides])


def _make(config: MakeDatasetConfig) -> tuple[Plan, Folder, dict[str, SubsetReport]]:
    """Make all shards in this process."""
    plan, folder = make_plan(config), open_output(config)
    store_plan(plan, folder)
    accounts = {shard.name: make_shard(shard, config, plan.digest) for shard in plan.shards}
    return plan, folder, accounts


def _from_rows(
    folder: Path, images: list[bytes | None], labels: list[str | None], *overrides: str
) -> MakeDatasetConfig:
    rows = pa.array([None if i is None else {"bytes": i, "path": None} for i in images], IMAGE)
    labelled = pa.array(labels, pa.string())
    pq.write_table(pa.table({"image": rows, "label": labelled}), folder / "source.parquet")
    settings = ("data.source=parquet", f"data.path={folder / 'source.parquet'}", *overrides)
    return _config(folder / "made", *settings)


RENDERED = ("data.num_words=60", "data.num_validation_words=7", "rows_per_shard=25")


def test_rendered_words_have_exactly_the_pixels_and_places_of_the_source(tmp_path: Path) -> None:
    config = _config(tmp_path / "made", *RENDERED)
    plan, folder, accounts = _make(config)
    assert [accounts[shard.name].num_kept for shard in plan.shards] == [25, 25, 10, 7]
    fragment = config.data.fragments("train")[0]
    with folder.open(plan.shards[1].name) as file:
        rows = pq.read_table(file).to_pylist()
    samples = config.data.read(fragment, np.arange(25, 50), epoch=0)
    for row, sample in zip(rows, samples, strict=True):
        assert row["label"] == sample.label
        assert sample.image is not None
        assert sample.char_quads is not None
        np.testing.assert_array_equal(decode_image(row["image"]["bytes"]), sample.image)
        np.testing.assert_array_equal(
            np.array(row["char_quads"], np.float32).reshape(-1, 4, 2), sample.char_quads
        )


def test_jpeg_is_smaller_the_lower_its_quality_and_about_the_same_picture(tmp_path: Path) -> None:
    sizes = {}
    for quality in ("null", "40"):
        config = _config(tmp_path, *RENDERED, "image_format=jpeg", f"quality={quality}")
        plan = make_plan(config)
        data, account = encode_shard(plan.shards[0], config, plan.digest)
        rows = pq.read_table(pa.BufferReader(data)).to_pylist()
        assert account.num_kept == len(rows) == 25
        assert all(row["image"]["bytes"][:2] == b"\xff\xd8" for row in rows)
        sizes[quality] = data.size
        sample = config.data.read(plan.shards[0].pieces[0][0], np.array([0]), epoch=0)[0]
        assert isinstance(sample.image, np.ndarray)
        difference = decode_image(rows[0]["image"]["bytes"]).astype(int) - sample.image
        assert np.abs(difference).mean() < 12
    assert sizes["40"] < 0.6 * sizes["null"]


def test_encoded_images_pass_through_untouched_and_have_no_places(
    tmp_path: Path, plain_picture: Callable[..., bytes]
) -> None:
    images: list[bytes | None] = [plain_picture("red", "JPEG"), plain_picture("blue", "BMP")]
    plan, folder, _ = _make(_from_rows(tmp_path, images, ["Red 1", "bläu"]))
    with folder.open(plan.shards[0].name) as file:
        rows = pq.read_table(file).to_pylist()
    assert [row["image"]["bytes"] for row in rows] == images
    assert [row["label"] for row in rows] == ["Red 1", "bläu"]
    assert [row["char_quads"] for row in rows] == [None, None]


def test_unusable_rows_are_dropped_and_counted_by_reason(
    tmp_path: Path, plain_picture: Callable[..., bytes]
) -> None:
    good = plain_picture()
    images: list[bytes | None] = [good, b"", None, b"no picture", good[:60], good, good, good]
    labels = ["a", "b", "c", "d", "e", None, " ", "h"]
    plan, folder, accounts = _make(_from_rows(tmp_path, images, labels))
    account = accounts[plan.shards[0].name]
    assert account.to_json() == {
        "seen": 8,
        "kept": 2,
        "dropped": {
            "empty": 1,
            "empty_label": 1,
            "missing_image": 1,
            "missing_label": 1,
            "not_an_image": 1,
            "truncated": 1,
        },
        "characters": {"a": 1, "h": 1},
        "lengths": {"1": 2},
    }
    found, faults = find_accounts(plan, folder)
    assert found == accounts
    assert not faults


def test_without_verification_only_missing_and_empty_images_are_dropped(
    tmp_path: Path, plain_picture: Callable[..., bytes]
) -> None:
    images: list[bytes | None] = [plain_picture(), b"", None, b"no picture"]
    config = _from_rows(tmp_path, images, list("abcd"), "verify=false")
    plan, _, accounts = _make(config)
    assert accounts[plan.shards[0].name].num_kept == 2
    assert dict(accounts[plan.shards[0].name].dropped) == {"empty": 1, "missing_image": 1}


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    config = _config(tmp_path, *RENDERED)
    plan = make_plan(config)
    first, _ = encode_shard(plan.shards[2], config, plan.digest)
    again, _ = encode_shard(plan.shards[2], config, plan.digest)
    assert first.equals(again)


@pytest.mark.parametrize("damage", ["cut short", "empty", "other rows", "of another plan"])
def test_a_shard_that_is_not_whole_is_found_out(tmp_path: Path, damage: str) -> None:
    config = _config(tmp_path / "made", *RENDERED)
    plan, folder, _ = _make(config)
    name = plan.shards[1].name
    path = tmp_path / "made" / name
    match damage:
        case "cut short":
            path.write_bytes(path.read_bytes()[:-1000])
        case "empty":
            path.write_bytes(b"")
        case "other rows":
            path.write_bytes((tmp_path / "made" / plan.shards[2].name).read_bytes())
        case _:
            data, _ = encode_shard(plan.shards[1], config, "another")
            path.write_bytes(data)
    accounts, faults = find_accounts(plan, folder)
    assert len(accounts) == len(plan.shards) - 1
    assert list(faults) == [name]
    path.unlink()
    accounts, faults = find_accounts(plan, folder)
    assert name not in accounts
    assert not faults


def test_a_damaged_page_is_named_when_the_card_is_drawn(tmp_path: Path) -> None:
    plan, folder, accounts = _make(_config(tmp_path / "made", *RENDERED))
    for path in (tmp_path / "made").rglob("*.parquet"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    with pytest.raises(DatasetError, match=r"parquet is damaged \(.*\); delete it, and the same"):
        write_card(plan, accounts, folder)


def test_a_node_that_does_not_see_the_output_says_so(tmp_path: Path) -> None:
    config = _config(tmp_path / "made", *RENDERED)
    plan = make_plan(config)
    with pytest.raises(DatasetError, match="a folder that all nodes share"):
        make_shard(plan.shards[0], config, plan.digest)


# Read back


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "words"
    plan, output, accounts = _make(_config(folder, *RENDERED))
    write_card(plan, accounts, output)
    return folder


def test_the_parquet_source_reads_it_back(made: Path) -> None:
    source = ParquetSource(
        source="parquet", path=str(made / "train"), validation_path=str(made / "validation")
    )
    labels = [label for part in source.fragments("train") for label in source.labels(part)]
    original = _config(made, *RENDERED).data
    assert labels == list(original.labels(original.fragments("train")[0]))
    assert sum(part.num_rows for part in source.fragments("validation")) == 7
    sample = source.read(source.fragments("train")[0], np.array([3]), epoch=0)[0]
    assert isinstance(sample.image, bytes)
    assert decode_image(sample.image).shape[0] == 32


def test_it_is_a_mirror_that_the_mjsynth_source_reads(made: Path) -> None:
    source = MJSynthSource(source="mjsynth", path=str(made))
    assert sum(part.num_rows for part in source.fragments("train")) == 60
    assert sum(part.num_rows for part in source.fragments("validation")) == 7


@pytest.mark.parametrize("source", ["parquet", "mjsynth"])
def test_places_of_characters_are_kept_when_it_is_converted(
    made: Path, tmp_path: Path, source: str
) -> None:
    place = f"data.path={made / 'train' if source == 'parquet' else made}"
    config = _config(tmp_path, f"data.source={source}", place, "subset=train")
    plan = make_plan(config)
    data, _ = encode_shard(plan.shards[0], config, plan.digest)
    converted = pq.read_table(pa.BufferReader(data))
    original = pq.read_table(made / "train")
    assert converted["char_quads"].to_pylist() == original["char_quads"].to_pylist()
    assert converted["label"].to_pylist() == original["label"].to_pylist()


@pytest.mark.parametrize("values", [[["a"]], [[1.0, 2.0]], [[[1.0] * 7]]])
def test_places_that_are_none_are_an_error(
    tmp_path: Path, plain_picture: Callable[..., bytes], values: list[object]
) -> None:
    config = _from_rows(tmp_path, [plain_picture()], ["a"])
    table = pq.read_table(tmp_path / "source.parquet").append_column("char_quads", [values])
    pq.write_table(table, tmp_path / "source.parquet")
    plan = make_plan(config)
    with pytest.raises(DatasetError, match=r"column 'char_quads' of .* 8 numbers per character"):
        encode_shard(plan.shards[0], config, plan.digest)


def test_datasets_loads_its_files_with_pictures_and_places(made: Path, tmp_path: Path) -> None:
    files = {name: str(made / name / "*.parquet") for name in ("train", "validation")}
    loaded = datasets.load_dataset("parquet", data_files=files, cache_dir=str(tmp_path))
    assert {name: split.num_rows for name, split in loaded.items()} == {
        "train": 60,
        "validation": 7,
    }
    row = loaded["train"][0]
    assert row["image"].height == 32
    assert len(row["char_quads"]) == len(row["label"])
    assert {len(quad) for quad in row["char_quads"]} == {8}


def test_datasets_loads_the_folder_by_its_readme(made: Path, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(made), cache_dir=str(tmp_path))
    assert {name: split.num_rows for name, split in loaded.items()} == {
        "train": 60,
        "validation": 7,
    }
    assert loaded["train"].features["char_quads"].feature.length == 8


# The card


def test_the_card_counts_what_the_files_hold(made: Path) -> None:
    card = json.loads((made / "card.json").read_text())
    train = card["subsets"]["train"]
    labels = pq.read_table(made / "train", columns=["label"])["label"].to_pylist()
    assert (train["seen"], train["kept"], train["dropped"]) == (60, len(labels), {})
    assert sum(train["lengths"].values()) == 60
    assert sum(train["characters"].values()) == sum(map(len, labels))
    assert train["bytes"] == sum(path.stat().st_size for path in (made / "train").iterdir())
    assert load_config(MakeDatasetConfig, made / "config.yaml").data.num_words == 60  # type: ignore[union-attr]  # synthetic


def test_the_card_names_the_command_that_trains(made: Path) -> None:
    readme = (made / "README.md").read_text()
    assert "| train | 60 | 60 | none | 3 |" in readme
    assert f"data.path={made}/train data.validation_path={made}/validation" in readme


def test_a_part_without_a_usable_row_is_an_error(tmp_path: Path) -> None:
    plan, folder, accounts = _make(_from_rows(tmp_path, [b"x", b""], ["a", "b"]))
    with pytest.raises(DatasetError, match=r"none of 2 rows of the train part .*'not_an_image': 1"):
        write_card(plan, accounts, folder)


def test_a_shard_without_a_usable_row_does_not_spoil_the_others(
    tmp_path: Path, plain_picture: Callable[..., bytes]
) -> None:
    images: list[bytes | None] = [b"x", b"x", plain_picture(), plain_picture()]
    config = _from_rows(tmp_path, images, list("abcd"), "rows_per_shard=2")
    plan, folder, accounts = _make(config)
    card = write_card(plan, accounts, folder)
    assert card.reports["train"].num_kept == 2
    loaded = datasets.load_dataset(str(tmp_path / "made"), cache_dir=str(tmp_path / "cache"))
    assert loaded["train"]["label"][:] == ["c", "d"]
    assert "data.validation_fraction=0.1" in card.train_command


def test_a_uri_names_the_output_that_its_path_names(tmp_path: Path) -> None:
    config = _config(tmp_path, *RENDERED).replace(output=f"{tmp_path.as_uri()}/made/")
    plan, folder, accounts = _make(config)
    card = write_card(plan, accounts, folder)
    assert f"data.path={tmp_path.as_uri()}/made/train " in card.train_command
    assert (tmp_path / "made" / "train" / "train-00000-of-00003.parquet").is_file()
    assert (
        len(find_accounts(plan, open_output(config.replace(output=str(tmp_path / "made"))))[0]) == 4
    )


def test_of_a_validation_part_alone_the_command_scores(tmp_path: Path) -> None:
    plan, folder, accounts = _make(_config(tmp_path / "made", *RENDERED, "subset=validation"))
    command = write_card(plan, accounts, folder).train_command
    assert command.startswith("uv run jobs/evaluate.py")
    assert command.endswith(f"data.path={tmp_path}/made/validation")
