"""Word images of any dataset that `datasets` can load."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import datasets

from ocr_model.data import folders
from ocr_model.data.fragments import Rows, Sample
from ocr_model.errors import DatasetError

_ENCODED = ("binary", "large_binary", "string", "large_string")
"""Bytes, or the paths of files."""


def count_rows(path: str, subset: str | None, split: str) -> int:
    """Return the number of rows; downloads the dataset on first use.

    Raises:
        DatasetError: It cannot be loaded, or has no such split.
    """
    return len(_load(path, subset, split))


def read_labels(
    path: str, subset: str | None, split: str, column: str, rows: range
) -> list[str | None]:
    """Return the labels of `rows`; the names of classes where labels are class numbers."""
    table = _load(path, subset, split)
    _require_text(table, column)
    values: Sequence[object] = table.select_columns([column])[rows.start : rows.stop][column]
    return [_text(table, column, value) for value in values]


def read_rows(
    path: str, subset: str | None, split: str, columns: tuple[str, str], rows: Rows
) -> list[Sample]:
    """Return encoded images and labels."""
    image_column, label_column = columns
    table = _load(path, subset, split)
    _require_images(table, image_column)
    _require_text(table, label_column)
    encoded = table.cast_column(image_column, datasets.Image(decode=False))[rows.tolist()]
    samples = []
    for image, label in zip(encoded[image_column], encoded[label_column], strict=True):
        text = _text(table, label_column, label)
        if image and not image["bytes"] and image["path"]:  # a folder of files: only their places
            samples.append(folders.read_sample(image["path"], text))
            continue
        data = image and image["bytes"]
        samples.append(Sample(data, text, "" if data else "missing_image"))
    return samples


@lru_cache(maxsize=4)
def _load(path: str, subset: str | None, split: str) -> datasets.Dataset:
    place = str(Path(path).expanduser()) if path.startswith("~") else path
    try:
        loaded = datasets.load_dataset(place, subset, split=split)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DatasetError(f"cannot load split {split!r} of {path!r}: {error}") from error
    assert isinstance(loaded, datasets.Dataset)
    return loaded


def _require_images(table: datasets.Dataset, column: str) -> None:
    kind = _kind_of(table, column)
    is_struct = isinstance(kind, dict) and "bytes" in kind
    is_encoded = isinstance(kind, datasets.Value) and kind.dtype in _ENCODED
    if not (is_struct or is_encoded or isinstance(kind, datasets.Image)):
        raise DatasetError(
            f"column {column!r} holds {kind}, which are no images; see data.image_column"
        )


def _require_text(table: datasets.Dataset, column: str) -> None:
    kind = _kind_of(table, column)
    is_plain = isinstance(kind, datasets.Value) and "binary" not in kind.dtype
    if not (is_plain or isinstance(kind, datasets.ClassLabel)):
        raise DatasetError(
            f"column {column!r} holds {kind}; labels are text, numbers or classes; see "
            "data.label_column"
        )


def _kind_of(table: datasets.Dataset, column: str) -> object:
    if column not in table.column_names:
        raise DatasetError(f"no column {column!r}; the dataset has {table.column_names}")
    return table.features[column]


def _text(table: datasets.Dataset, column: str, value: object) -> str | None:
    if value is None:
        return None
    feature = table.features[column]
    return feature.int2str(value) if isinstance(feature, datasets.ClassLabel) else str(value)
