"""The images of a unit to rows: whole pages, or single words."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from ocr_model.decoding.readings import Prediction
from ocr_model.errors import BundleError, ImageError
from ocr_model.inference.bulk.config import BatchConfig
from ocr_model.inference.bulk.fetching import Content
from ocr_model.inference.bulk.items import Item
from ocr_model.inference.bulk.listing import input_folder
from ocr_model.inference.bulk.page_rows import page_row, word_row
from ocr_model.inference.bulk.rows import Reading, clean
from ocr_model.inference.documents import PageImage, open_pages
from ocr_model.inference.outputs import output_files
from ocr_model.inference.outputs.pictures import open_pictures
from ocr_model.inference.page_reader import PageReader
from ocr_model.inference.pages import Page
from ocr_model.inference.reader_config import CompactReaderConfig, PageReaderConfig
from ocr_model.inference.recognizer import Recognizer
from ocr_model.model_folder import read_description
from ocr_model.weights import find_model

_HASH_SHOWN = 12


class UnitReader:
    """Reads with models that are loaded once."""

    def __init__(self, config: BatchConfig) -> None:
        """Load the models.

        Raises:
            BundleError: One of them is missing, incomplete or altered.
            ConfigError: There is no such device here, or the recogniser cannot write the language.
        """
        self._config = config
        self._model = model_id(config)
        self._folder = input_folder(config.input)
        settings = config.reader
        self._word_options = settings.word_options("vertical")
        reader = _load_recognizer(settings) if config.mode == "words" else PageReader.load(settings)
        recognizer = reader if isinstance(reader, Recognizer) else reader.recognizer
        recognizer.read([], self._word_options)  # a language that it cannot write ends the run here
        self._reader = reader

    def read(self, items: Sequence[Item], contents: Sequence[Content]) -> Iterator[Reading]:
        """Read items, in their order; what cannot be read has rows that say why."""
        if isinstance(self._reader, Recognizer):
            yield from self._read_words(self._reader, items, contents)
        else:
            yield from self._read_pages(self._reader, items, contents)

    def _read_pages(
        self, reader: PageReader, items: Sequence[Item], contents: Sequence[Content]
    ) -> Iterator[Reading]:
        images = (
            replace(image, source=str(place))
            for place, content in enumerate(contents)
            for image in self._open(content)
        )
        for place, pages in groupby(reader.read_images(images), key=attrgetter("source")):
            item, content = items[int(place)], contents[int(place)]
            named = [replace(page, source=item.uri) for page in pages]
            rows = [page_row(item, page, self._model) for page in named]
            yield Reading(rows, list(self._files(item, content, named)))

    def _read_words(
        self, recognizer: Recognizer, items: Sequence[Item], contents: Sequence[Content]
    ) -> Iterator[Reading]:
        images = [content if isinstance(content, bytes) else b"" for content in contents]
        readings = recognizer.read_all(images, self._word_options)
        for item, content, reading in zip(items, contents, readings, strict=True):
            if isinstance(content, ImageError):
                reading = Prediction("", 0.0, (), error=str(content))
            yield Reading([word_row(item, reading, self._model)])

    def _open(self, content: Content) -> Iterator[PageImage]:
        if isinstance(content, ImageError):
            return iter([PageImage(None, 1, error=str(content))])
        return open_pages(content, self._config.reader.documents)

    def _files(
        self, item: Item, content: Content, pages: list[Page]
    ) -> Iterator[tuple[str, bytes]]:
        if isinstance(content, ImageError):
            return
        address = clean(f"{item.uri}/{item.member}").removesuffix("/")
        stem = _below(address.removeprefix(clean(self._folder)))
        for output in self._config.outputs:
            pictures = open_pictures(content, pages, self._config.reader.documents)
            yield from output_files(output, stem, pages, pictures)


def _load_recognizer(reader: PageReaderConfig) -> Recognizer:
    return Recognizer.load(
        reader.recognizer, device=reader.device, precision=reader.precision, kind=reader.kind
    )


def _below(path: str) -> str:
    """Return a path that leads nowhere else, whatever a tar calls its members."""
    parts = path.lstrip("/").split("/")
    return "/".join(part.replace(".", "%2E") if part in (".", "..") else part for part in parts)


def model_id(config: BatchConfig) -> str:
    """Name the models and the hashes of their weights, as rows carry them.

    Raises:
        BundleError: One of them cannot be read.
    """
    reader = config.reader
    recognizer = f"{_name(reader.recognizer)}.{reader.kind}@{_weights(reader.recognizer)}"
    if config.mode == "words":
        return recognizer
    match reader.detector:
        case CompactReaderConfig(weights=weights):
            return f"{_name(weights)}@{_weights(weights)}+{recognizer}"
        case craft:
            return f"craft@{_file(craft.weights)}+{recognizer}"


def absolute(reader: PageReaderConfig) -> PageReaderConfig:
    """Return settings whose models are found from any working directory."""
    changed: dict[str, object] = {"recognizer": _found(reader.recognizer)}
    if reader.detector.weights is not None:
        weights = {"weights": _found(reader.detector.weights)}
        changed["detector"] = {**reader.detector.model_dump(), **weights}
    return reader.replace(**changed)


def _found(model: str) -> str:
    path = Path(model).expanduser()
    return str(path.absolute()) if path.exists() and find_model(model) == path else model


def _name(model: str) -> str:
    return find_model(model).name


def _weights(model: str) -> str:
    return str(read_description(find_model(model)).get("weights_sha256", ""))[:_HASH_SHOWN]


def _file(weights: str | None) -> str:
    path = None if weights is None else Path(weights).expanduser()
    if path is None or path.is_dir():
        return "published"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:_HASH_SHOWN]
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
