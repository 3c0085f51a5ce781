"""The case of labels that lost it: many datasets write every label in capitals.

A recogniser that learns from them reads capitals where there are none. One that has seen none of
them, such as `compact-synthetic`, tells which of the spellings of a label its picture shows.
"""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ocr_model.config import Config
from ocr_model.data.page_sources import is_readable, parse_regions
from ocr_model.decoding.lexicon import Lexicon
from ocr_model.detection.rectify import rectify
from ocr_model.errors import ConfigError, DatasetError, ImageError
from ocr_model.image import ImageInput, decode_image
from ocr_model.inference.options import UPRIGHT, ReadOptions
from ocr_model.inference.recognizer import Recognizer
from ocr_model.storage import Folder
from ocr_model.weights import SYNTHETIC_RECOGNIZER

logger = logging.getLogger(__name__)


class RecaseConfig(Config):
    """Which labels get their case back, and by whose reading."""

    input: Path
    """Parquet of words (`image`, `label`), or of pages (`image`, `regions`) as
    jobs/train_detector.py takes them."""
    output: Path
    """The same, with the case that is seen. In another folder, by the same name: by file name and
    row group `validation_fraction` holds rows out."""
    model: str = SYNTHETIC_RECOGNIZER
    """Folder of a bundle, or one in the box, that did not learn from these labels."""


def recase_file(config: RecaseConfig) -> Counter[str]:
    """Write the file anew and count its labels: `kept`, `changed`, `without case`, `unreadable`.

    Raises:
        DatasetError: The file cannot be read, or has neither words nor pages, or odd ones.
        ConfigError: The output cannot be written.
        BundleError: The model is missing, incomplete or altered.
    """
    if config.output.is_dir():
        raise ConfigError(f"output={config.output} is a folder; expected a file's name")
    folder = Folder(str(config.output.parent), setting="output", error=ConfigError)
    groups = _read(config.input)
    table = pa.concat_tables(groups)
    recognizer, counts = Recognizer.load(config.model), Counter[str]()
    names = set(table.column_names)
    if {"image", "label"} <= names and pa.types.is_string(table["label"].type):
        images = [_encoded(image) for image in table["image"].to_pylist()]
        column, recased = "label", _counted(recognizer, images, table["label"].to_pylist(), counts)
    elif {"image", "regions"} <= names:
        images, told = table["image"].to_pylist(), table["regions"].to_pylist()
        pages = enumerate(zip(map(_encoded, images), told, strict=True))
        column = "regions"
        recased = [
            _recased_page(recognizer, f"{config.input}, row {number}", image, regions, counts)
            for number, (image, regions) in pages
        ]
    else:
        raise DatasetError(
            f"{config.input} has the columns {', '.join(table.column_names)}; expected `image` "
            "with `label`, which is text, or with `regions`"
        )
    texts = pa.array(recased, pa.string())
    written = table.set_column(table.column_names.index(column), column, texts)
    folder.write(config.output.name, _in_groups(written, [group.num_rows for group in groups]))
    if config.output.name != config.input.name:
        logger.warning(
            "of %s, validation_fraction holds other rows out than of %s, as it goes by the name of "
            "a file: a model that has trained on one is not to be scored on the other",
            config.output.name,
            config.input.name,
        )
    return counts


def recase(
    recognizer: Recognizer, images: Sequence[ImageInput], labels: Sequence[str | None]
) -> list[str | None]:
    """Return the labels in the case that their pictures show; those with small letters stay.

    Where the recogniser reads the label but for its case, and each of its words in one case or with
    a capital initial, its reading counts; else, of the whole label in lower case, in capitals and
    with capital initials, what it finds likeliest.
    """
    upper = [(number, label) for number, label in enumerate(labels) if label and label.isupper()]
    readings = recognizer.read([images[number] for number, _ in upper], UPRIGHT)
    recased = list(labels)
    for (number, label), reading in zip(upper, readings, strict=True):
        text = reading.text
        is_its = text.casefold() == label.casefold() and all(map(_is_usual, text.split()))
        recased[number] = text if is_its else _likeliest(recognizer, images[number], label)
    return recased


def _is_usual(word: str) -> bool:
    return not _has_case(word) or word.isupper() or word.islower() or word.istitle()


def _likeliest(recognizer: Recognizer, image: ImageInput, label: str) -> str:
    if len(label) > recognizer.info.max_chars:
        return label
    options = ReadOptions(orientations="upright", lexicon=Lexicon((label,), any_case=True))
    try:
        text = recognizer.read([image], options)[0].text
    except ConfigError:  # it cannot write such a label
        return label
    return text if text.casefold() == label.casefold() else label


def _encoded(image: Any) -> bytes:  # noqa: ANN401  # a cell: bytes, or as the Hub has them
    return bytes((image.get("bytes") if isinstance(image, dict) else image) or b"")


def _recased_page(
    recognizer: Recognizer, key: str, image: bytes, told: str, counts: Counter[str]
) -> str:
    quads, texts = parse_regions(key, told)
    chosen = [number for number, text in enumerate(texts) if is_readable(text)]
    corners = np.array([quads[number] for number in chosen], np.float32).reshape(-1, 4, 2)
    try:
        crops = rectify(decode_image(image), corners, recognizer.info.geometry)
    except ImageError:
        counts["unreadable"] += len(chosen)
        return told  # training counts it as unreadable
    regions = json.loads(told)
    labels = [texts[number] for number in chosen]
    for number, text in zip(chosen, _counted(recognizer, crops, labels, counts), strict=True):
        regions[number]["text"] = text
    return json.dumps(regions)


def _counted(
    recognizer: Recognizer,
    images: Sequence[ImageInput],
    labels: Sequence[str | None],
    counts: Counter[str],
) -> list[str | None]:
    recased = recase(recognizer, images, labels)
    for before, after in zip(labels, recased, strict=True):
        kind = "kept" if before == after else "changed"
        counts[kind if before and _has_case(before) else "without case"] += 1
    return recased


def _has_case(text: str) -> bool:
    return text.lower() != text.upper()


def _read(path: Path) -> list[pa.Table]:
    """Return its row groups."""
    try:
        with pq.ParquetFile(path) as file:
            groups = [file.read_row_group(part) for part in range(file.num_row_groups)]
            return groups or [file.schema_arrow.empty_table()]
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path} cannot be read as Parquet: {error}") from error


def _in_groups(table: pa.Table, sizes: Sequence[int]) -> pa.Buffer:
    """Return the file that has so many rows in each row group."""
    sink, begin = pa.BufferOutputStream(), 0
    with pq.ParquetWriter(sink, table.schema) as writer:
        for size in filter(None, sizes):
            writer.write_table(table.slice(begin, size), row_group_size=size)
            begin += size
    return sink.getvalue()
