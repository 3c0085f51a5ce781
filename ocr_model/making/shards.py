"""One shard: rows of a source to one Parquet file, and its account of what became of them."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import cv2
import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ocr_model.data.fragments import Sample
from ocr_model.data.reports import SubsetReport
from ocr_model.errors import DatasetError, ImageError
from ocr_model.image import Pixels, decode_image
from ocr_model.making.config import MakeDatasetConfig
from ocr_model.making.plan import PLAN_FILE, Plan, Shard
from ocr_model.storage import Folder

FEATURES = datasets.Features(
    {
        "image": datasets.Image(),
        "label": datasets.Value("string"),
        "char_quads": datasets.List(datasets.List(datasets.Value("float32"), length=8)),
    }
)
"""The Hub's schema. `char_quads` has (x, y) of each character's four corners, clockwise from its
upper left, in pixels of the picture; null where the source does not know."""

SCHEMA: pa.Schema = FEATURES.arrow_schema

_ROWS_PER_GROUP = 1_000  # what a training task reads at once
_ACCOUNT_KEY = "ocr_on_ray"

Row = dict[str, Any]


def open_output(config: MakeDatasetConfig) -> Folder:
    """Open the dataset's folder, creating it.

    Raises:
        DatasetError: It cannot be written to.
    """
    return Folder(config.output, setting="output", error=DatasetError)


def make_shard(shard: Shard, config: MakeDatasetConfig, digest: str) -> SubsetReport:
    """Read, verify, encode and write one shard; the same rows give the same bytes.

    Raises:
        DatasetError: The source is damaged, or this machine does not see the dataset's folder.
    """
    folder = open_output(config)
    if not folder.has(PLAN_FILE):
        raise DatasetError(
            f"a node does not see {folder.address}/{PLAN_FILE}: output must be a folder that all "
            "nodes share, or a bucket"
        )
    data, account = encode_shard(shard, config, digest)
    folder.write(shard.name, data)
    return account


def encode_shard(
    shard: Shard, config: MakeDatasetConfig, digest: str
) -> tuple[pa.Buffer, SubsetReport]:
    """Return the file and its account, which the file's metadata holds too."""
    account = SubsetReport()
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        SCHEMA,
        use_dictionary=["label"],  # pictures do not repeat
        write_statistics=["label"],
        write_page_checksum=True,
    ) as writer:
        rows: list[Row] = []
        for row in _rows(shard, config, account):
            rows.append(row)
            if len(rows) == _ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
                rows = []
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, SCHEMA))
        stored = {"plan": digest, **account.to_json()}
        writer.add_key_value_metadata({_ACCOUNT_KEY: json.dumps(stored, ensure_ascii=False)})
    return sink.getvalue(), account


def find_accounts(plan: Plan, folder: Folder) -> tuple[dict[str, SubsetReport], dict[str, str]]:
    """Return the accounts of the shards that are whole, and why others are there but not whole.

    A shard that is in neither is not there.
    """
    accounts, faults = {}, {}
    find = partial(_find_account, folder=folder, digest=plan.digest)
    with ThreadPoolExecutor(16) as pool:  # each footer in a bucket is a round trip
        for shard, found in zip(plan.shards, pool.map(find, plan.shards), strict=True):
            if isinstance(found, SubsetReport):
                accounts[shard.name] = found
            elif found:
                faults[shard.name] = found
    return accounts, faults


def read_samples(folder: Folder, name: str, group: int, rows: list[int]) -> list[Row]:
    """Return rows of one row group of a shard, with plain values.

    Raises:
        DatasetError: Its pages are damaged.
    """
    try:
        with folder.open(name) as source:
            file = pq.ParquetFile(source, page_checksum_verification=True)
            table = file.read_row_group(group, use_threads=False)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(
            f"{folder.address}/{name} is damaged ({error}); delete it, and the same command makes "
            "it again"
        ) from error
    found: list[Row] = table.take(pa.array(rows, pa.int64())).to_pylist()
    return found


def group_sizes(folder: Folder, name: str) -> list[int]:
    """Return the number of rows of each row group of a shard."""
    with folder.open(name) as source:
        metadata = pq.read_metadata(source)
    return [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]


def _find_account(shard: Shard, folder: Folder, digest: str) -> SubsetReport | str:
    """Return the account of a whole shard, "" where there is none, or what is wrong with it."""
    try:
        with folder.open(shard.name) as source:
            metadata = pq.read_metadata(source)
    except FileNotFoundError:
        return ""
    except (OSError, pa.ArrowInvalid) as error:
        return f"not whole: {error}"
    stored = json.loads((metadata.metadata or {}).get(_ACCOUNT_KEY.encode(), b"{}"))
    if stored.get("plan") != digest:
        return "not of this plan"
    dropped = sum(stored["dropped"].values())
    if metadata.num_rows != stored["kept"] or stored["kept"] + dropped != shard.num_rows:
        return f"{metadata.num_rows} rows and {dropped} dropped, planned {shard.num_rows}"
    return SubsetReport.from_json(stored)


def _rows(shard: Shard, config: MakeDatasetConfig, account: SubsetReport) -> Iterator[Row]:
    """Yield the good rows, and count all of them."""
    for fragment, rows in shard.pieces:
        for sample in config.data.read_in_full(fragment, rows):
            account.num_seen += 1
            try:
                row = _row(sample, config)
            except ImageError as error:
                account.dropped[error.reason] += 1
                continue
            account.count(row["label"])
            yield row


def _row(sample: Sample, config: MakeDatasetConfig) -> Row:
    """Check and encode one sample.

    Raises:
        ImageError: It has no usable image, or no label.
    """
    label = sample.label
    if label is None or not label.strip():
        raise ImageError("missing_label" if label is None else "empty_label", repr(label))
    if sample.image is None:
        raise ImageError(sample.error.partition(":")[0], sample.error)
    if isinstance(sample.image, np.ndarray):
        encoded = _encode(decode_image(sample.image), config.jpeg_quality)
    else:
        encoded = sample.image
        if config.verify or not encoded:
            decode_image(encoded)
    quads = None
    if sample.char_quads is not None:
        quads = list(sample.char_quads.reshape(-1, 8).astype(np.float32))
    return {"image": {"bytes": encoded, "path": None}, "label": label, "char_quads": quads}


def _encode(pixels: Pixels, jpeg_quality: int | None) -> bytes:
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    if jpeg_quality is None:
        _, encoded = cv2.imencode(".png", bgr)
    else:
        _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    return encoded.tobytes()
