import io
import pickle
import tarfile
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocr_model.config import load_config
from ocr_model.errors import ImageError, StorageError
from ocr_model.inference.bulk import bucket as bucket_room
from ocr_model.inference.bulk import places
from ocr_model.inference.bulk.config import BatchConfig
from ocr_model.inference.bulk.fetching import fetch
from ocr_model.inference.bulk.items import Item
from ocr_model.inference.bulk.ledger import Ledger
from ocr_model.inference.bulk.listing import Listing
from ocr_model.inference.bulk.manifest import begin
from ocr_model.inference.bulk.places import open_place
from ocr_model.inference.bulk.plan import Plan
from ocr_model.inference.bulk.working import Worker


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(bucket_room._RETRIES, "max_retries", 1)
    places.place_of.cache_clear()  # its connections are to the environment's endpoint


def _config(bucket: str, *settings: str) -> BatchConfig:
    given = [f"input=s3://{bucket}/in", f"output=s3://{bucket}/out", "mode=words", *settings]
    return load_config(BatchConfig, None, given)


def test_a_bucket_is_listed_planned_read_and_written_once(
    bucket: str, touchy: Callable[[], Any]
) -> None:
    source = open_place(f"s3://{bucket}/in")
    names = [f"{number % 7}/{number:04} ä.png" for number in range(1_100)]
    for name in names:
        source.write(name, name.encode())
    open_place(f"s3://{bucket}").write("in-not/x.png", b"of another prefix")

    manifest = begin(_config(bucket, "unit_images=200"))
    ledger, plan = Ledger(manifest.place), Plan(manifest.place)
    worker = Worker(manifest.config, touchy, pickle.dumps(touchy))
    for shard in plan.extend(Listing(manifest.config), unit_size=200, most=100_000):
        for unit in shard.units_of(range(shard.num_units)):
            worker.do(unit, fetch(unit.items, at_once=16, most_bytes=1_000))
        ledger.finish(shard)
    assert ledger.done_units(1) == {0}
    assert ledger.totals().images == 1_100
    units = [(0, number) for number in range(5)] + [(1, 0)]
    texts = [
        text
        for shard_number, number in units
        for text in ledger.read(f"{shard_number:08}/{number:06}")["text"].to_pylist()
    ]
    assert len(texts) == len(set(texts)) == 1_100
    again = begin(_config(bucket))
    assert not list(Plan(again.place).extend(Listing(again.config), unit_size=9, most=99))


def test_parts_of_objects_are_fetched_alone(bucket: str) -> None:
    source = open_place(f"s3://{bucket}/in")
    sink = io.BytesIO()
    pq.write_table(pa.table({"image": [b"row 0", b"row 1"]}), sink, row_group_size=1)
    source.write("table.parquet", sink.getvalue())
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("a.png")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"inner"))
    source.write("words.tar", packed.getvalue())
    for name, expected in (("table.parquet", [b"row 0", b"row 1"]), ("words.tar", [b"inner"])):
        listing = Listing(_config(bucket, f"input=s3://{bucket}/in/{name}"))
        assert fetch(list(listing), at_once=2, most_bytes=99) == expected
    (found,) = fetch([Item(f"s3://{bucket}/in/words.tar")], at_once=1, most_bytes=99)
    assert isinstance(found, ImageError)
    assert found.reason == "too_large"


def test_an_object_that_is_gone_is_a_bad_image_and_a_store_that_is_gone_is_not(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = open_place(f"s3://{bucket}")
    with pytest.raises(ImageError, match="missing: no object s3://"):
        place.read("none.png")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match=r"cannot read s3://.*/none\.png"):
        open_place(f"s3://{bucket}").read("none.png")


def test_a_second_writer_of_the_same_object_is_told(bucket: str) -> None:
    place = open_place(f"s3://{bucket}")
    assert place.create("plan/0", b"first")
    assert not place.create("plan/0", b"second")
    assert place.read("plan/0") == b"first"


def test_a_bucket_that_is_not_there_and_missing_credentials_are_named(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_place(f"s3://{bucket}/in").write("1.png", b"word")
    with pytest.raises(StorageError, match="there is no such bucket"):
        begin(_config(bucket, "input=s3://no-such-bucket/in"))
    with pytest.raises(StorageError, match="there is no such bucket"):
        begin(_config(bucket, "output=s3://no-such-bucket/out"))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")  # no machine gives any
    places.place_of.cache_clear()
    with pytest.raises(StorageError, match="no credentials were found"):
        begin(_config(bucket))
