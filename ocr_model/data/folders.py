"""Word images as files, labelled by a JSON or CSV list or by their names."""

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ocr_model.data.fragments import Sample
from ocr_model.errors import DatasetError
from ocr_model.picture_formats import SUFFIXES

_IMAGE_KEYS = ("image", "file_name", "filename", "image_path", "path", "file", "img")
_LABEL_KEYS = ("label", "text", "caption", "words", "transcription")
_VALIDATION_NAMES = ("val", "validation", "valid")


@lru_cache(maxsize=8)
def list_images(
    folder: str, subset: Literal["train", "validation"], stem_pattern: str
) -> Sequence[tuple[str, str | None]]:
    """Return (path, label) of every image of a subset, in a fixed order.

    A list may be a JSON object {file: label}, a JSON list of objects, or a CSV with a header;
    the usual names of fields are understood.

    Raises:
        DatasetError: The folder is missing or cannot be read, or its list cannot be understood.
    """
    try:
        return _list_images(Path(folder).expanduser(), subset, stem_pattern)
    except OSError as error:
        raise DatasetError(f"cannot read {error.filename}: {error.strerror}") from error


def _list_images(
    root: Path, subset: Literal["train", "validation"], stem_pattern: str
) -> list[tuple[str, str | None]]:
    if not root.is_dir():
        raise DatasetError(f"there is no folder {root}")
    names = ("train", "labels") if subset == "train" else _VALIDATION_NAMES
    for name in names:
        for base in (root / name, root):
            for path in (base / f"{name}.json", base / f"{name}.csv"):
                if path.is_file():
                    listed = list(_read_list(path))
                    if not listed:
                        raise DatasetError(f"{path} is empty: it lists no image")
                    return listed
    places = [root / name for name in names if (root / name).is_dir()]
    if not places and subset == "validation":
        return []
    place = places[0] if places else root
    found = list(_label_by_stem(place, stem_pattern))
    if not found:
        raise DatasetError(
            f"no images in {place}: it has no list of labels and no file of "
            f"{', '.join(sorted(SUFFIXES))}"
        )
    return found


def read_sample(path: str, label: str | None) -> Sample:
    """Read one file; an unreadable one gives a sample without image."""
    try:
        return Sample(Path(path).read_bytes(), label)
    except OSError as error:
        return Sample(None, label, f"unreadable_file: {error.strerror}")


def _read_list(path: Path) -> Iterator[tuple[str, str | None]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        entries = json.loads(text) if path.suffix == ".json" else _read_csv(text)
    except (OSError, ValueError, csv.Error) as error:
        raise DatasetError(f"cannot read {path}: {error}") from error
    if isinstance(entries, dict):
        entries = [{"image": name, "label": label} for name, label in entries.items()]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DatasetError(f"{path} must be an object of labels by file, or a list of objects")
    images = path.parent / "images"
    base = images if images.is_dir() else path.parent
    for entry in entries:
        name = _field(path, entry, _IMAGE_KEYS)
        label = _field(path, entry, _LABEL_KEYS)
        beside = path.parent / str(name)
        place = base / str(name)
        for value in (name, label):
            if isinstance(value, list | dict) or (value is name and not name):
                raise DatasetError(f"{path}: an entry has no text but {value!r}: {entry}")
        yield str(place if place.exists() else beside), None if label is None else str(label)


def _read_csv(text: str) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    entries = []
    for entry in reader:
        if None in entry:
            raise csv.Error(
                f"line {reader.line_num} has more fields than the header; a label with a comma "
                "must stand in double quotes"
            )
        entries.append(entry)
    return entries


def _field(path: Path, entry: Mapping[str, object], names: tuple[str, ...]) -> object:
    for name in names:
        if name in entry:
            return entry[name]
    raise DatasetError(f"{path}: an entry has none of {names}, only {sorted(entry)}")


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield all files; a folder that cannot be listed is an error, not empty."""
    for place, _, names in os.walk(folder, onerror=_raise):
        yield from (Path(place) / name for name in names)


def _raise(error: OSError) -> None:
    raise error


def _label_by_stem(folder: Path, stem_pattern: str) -> Iterator[tuple[str, str | None]]:
    try:
        pattern = re.compile(stem_pattern)
    except re.error as error:
        raise DatasetError(
            f"data.stem_pattern {stem_pattern!r} is no expression: {error}"
        ) from error
    if "label" not in pattern.groupindex:
        raise DatasetError(f"data.stem_pattern {stem_pattern!r} has no group named 'label'")
    for path in sorted(_files_below(folder)):
        is_validation = any(folder / name in path.parents for name in _VALIDATION_NAMES)
        if path.suffix.lower() in SUFFIXES and not is_validation:
            found = pattern.fullmatch(path.stem)
            yield str(path), found["label"] if found else None
