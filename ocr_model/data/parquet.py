"""Word images in Parquet, on a disk, in a bucket, or on the Hub."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem
from jaxtyping import Float32
from pyarrow import fs

from ocr_model.data.fragments import Fragment, Rows, Sample
from ocr_model.errors import DatasetError

_HUB = "hf://"
_QUADS = "char_quads"


def list_row_groups(
    paths: Sequence[str], columns: tuple[str, str], *, name_prefix: str = ""
) -> list[Fragment]:
    """List the row groups of all Parquet files under `paths`, in order of path and number.

    Args:
        paths: Files, folders or URIs.
        columns: Names that every file must have.
        name_prefix: Take only files whose name starts so.

    Raises:
        DatasetError: A path is missing, is not Parquet, or holds no file of that name; or there is
            no row.
    """
    if not paths:
        raise DatasetError(
            "data.path names no file; give one, or several as [a.parquet, b.parquet]"
        )
    files = [file for path in paths for file in _list_files(path, name_prefix)]
    twice = [place for place, n in Counter(map(_identity, files)).items() if n > 1]
    if twice:
        raise DatasetError(f"{twice[0]} is listed twice in data.path; its rows would count double")
    with ThreadPoolExecutor(16) as pool:  # footers of a remote dataset are a round trip each
        groups = list(pool.map(partial(_row_groups, columns=columns), files))
    fragments = [fragment for group in groups for fragment in group]
    if not any(fragment.num_rows for fragment in fragments):
        raise DatasetError(f"{', '.join(paths)} is empty: there is no row in it")
    return fragments


def read_labels(fragment: Fragment, column: str) -> list[str | None]:
    """Return the label column of a row group; numbers become text."""
    table = _read(fragment.uri, fragment.part, (column,))
    return _texts(table[column])


def read_rows(fragment: Fragment, rows: Rows, image_column: str, label_column: str) -> list[Sample]:
    """Return samples of a row group; a null image gives a sample without one."""
    table = _cached(fragment.uri, fragment.part, (image_column, label_column)).take(pa.array(rows))
    images = table[image_column].combine_chunks()
    if pa.types.is_struct(images.type):
        images = images.field("bytes")
    labels = _texts(table[label_column])
    return [
        Sample(image, label, "" if image is not None else "missing_image")
        for image, label in zip(images.to_pylist(), labels, strict=True)
    ]


def add_quads(fragment: Fragment, rows: Rows, samples: Sequence[Sample]) -> list[Sample]:
    """Return samples with the quads of their characters, as jobs/make_dataset.py stores them.

    Raises:
        DatasetError: The column of that name holds something else.
    """
    with _open(fragment.uri) as file:
        if _QUADS not in file.schema_arrow.names:
            return list(samples)
    column = _cached(fragment.uri, fragment.part, (_QUADS,))[_QUADS].take(pa.array(rows))
    try:
        return [
            sample if quads is None else replace(sample, char_quads=_to_quads(quads))
            for sample, quads in zip(samples, column.to_pylist(), strict=True)
        ]
    except (ValueError, TypeError) as error:
        raise DatasetError(
            f"column {_QUADS!r} of {fragment.uri} holds {column.type}; it must have 8 numbers per "
            "character: x and y of four corners"
        ) from error


def _to_quads(values: list[list[float]]) -> Float32[np.ndarray, "chars 4 2"]:
    return np.array(values, np.float32).reshape(len(values), 4, 2)


def _texts(column: pa.ChunkedArray) -> list[str | None]:
    return [None if value is None else str(value) for value in column.to_pylist()]


def filesystem_of(path: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a path or URI, and the path on it.

    Credentials come from the environment, as each cloud's own tools read them.

    Raises:
        DatasetError: The URI's scheme is unknown or its address malformed.
    """
    if path.startswith(_HUB):
        return fs.PyFileSystem(fs.FSSpecHandler(HfFileSystem())), path.removeprefix(_HUB)
    if "://" not in path:
        return fs.LocalFileSystem(), str(Path(path).expanduser().absolute())
    try:
        filesystem, inner = fs.FileSystem.from_uri(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"cannot open {path}: {error}") from error
    return filesystem, inner


def _identity(uri: str) -> str:
    filesystem, path = filesystem_of(uri)
    if isinstance(filesystem, fs.LocalFileSystem):
        return str(Path(path).resolve())
    return f"{uri.partition('://')[0]}://{path}"


def _list_files(path: str, name_prefix: str) -> list[str]:
    filesystem, inner = filesystem_of(path)
    try:
        info = filesystem.get_file_info(inner)
        if info.type is fs.FileType.File:
            return [path]
        if info.type is fs.FileType.NotFound:
            raise DatasetError(f"there is no data at {path}")
        entries = filesystem.get_file_info(fs.FileSelector(inner, recursive=True))
    except OSError as error:
        raise DatasetError(f"cannot list {path}: {error}") from error
    scheme = path.partition("://")[0] + "://" if "://" in path else ""
    names = sorted(entry.path for entry in entries if entry.path.endswith(".parquet"))
    chosen = [name for name in names if name.rpartition("/")[2].startswith(name_prefix)]
    if not chosen:
        wanted = f"{name_prefix}*.parquet"
        raise DatasetError(f"no {wanted} under {path}; found {[*names[:5]] or 'no Parquet file'}")
    return [scheme + name for name in chosen]


def _row_groups(uri: str, columns: tuple[str, str]) -> list[Fragment]:
    with _open(uri) as file:
        _require_columns(file, uri, columns)
        metadata = file.metadata
        return [
            Fragment(uri, part, metadata.row_group(part).num_rows)
            for part in range(metadata.num_row_groups)
        ]


def _open(uri: str) -> pq.ParquetFile:
    filesystem, path = filesystem_of(uri)
    try:
        opened = filesystem.open_input_file(path)
        return pq.ParquetFile(opened, pre_buffer=True, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{uri} is not readable as Parquet: {error}") from error


@lru_cache(maxsize=4)
def _cached(uri: str, part: int, columns: tuple[str, ...]) -> pa.Table:
    """Keep the last row groups of this process: neighbouring tasks read the same ones."""
    return _read(uri, part, columns)


def _read(uri: str, part: int, columns: tuple[str, ...]) -> pa.Table:
    with _open(uri) as file:
        try:
            return file.read_row_group(part, columns=list(columns), use_threads=False)
        except (pa.ArrowInvalid, OSError) as error:
            raise DatasetError(f"row group {part} of {uri} is damaged: {error}") from error


def _require_columns(file: pq.ParquetFile, uri: str, columns: tuple[str, str]) -> None:
    missing = [name for name in columns if name not in file.schema_arrow.names]
    if missing:
        raise DatasetError(
            f"{uri} has no column {missing[0]!r}; it has {file.schema_arrow.names}. Name the "
            "columns by data.image_column and data.label_column"
        )
    image, label = (file.schema_arrow.field(name).type for name in columns)
    if not _holds_images(image):
        raise DatasetError(
            f"column {columns[0]!r} of {uri} holds {image}; images are binary, or a struct with a "
            "binary field 'bytes'. Name the column by data.image_column"
        )
    if not _holds_text(label):
        raise DatasetError(
            f"column {columns[1]!r} of {uri} holds {label}; labels are text or numbers. Name the "
            "column by data.label_column"
        )


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _is_binary(kind.field(place).type)
    return _is_binary(kind)


def _holds_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return not pa.types.is_nested(kind) and (pa.types.is_null(kind) or not _is_binary(kind))


def _is_binary(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
        pa.types.is_null,  # a column without any value
    )
    return any(test(kind) for test in tests)
