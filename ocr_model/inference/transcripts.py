"""Files and folders read page by page, and written in any format: what `jobs/read.py` does."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pydantic import model_validator

from ocr_model.config import Config
from ocr_model.errors import ConfigError
from ocr_model.inference.documents import list_documents
from ocr_model.inference.outputs import OutputConfigs, output_files
from ocr_model.inference.outputs.pictures import open_pictures
from ocr_model.inference.page_reader import PageReader
from ocr_model.inference.pages import Page
from ocr_model.inference.reader_config import PageReaderConfig


class TranscribeConfig(Config):
    """What is read, how, and what is written."""

    input: str
    """An image, a PDF, or a folder of them."""
    outputs: OutputConfigs = ()
    """Formats, by name or with their settings: `[json, hocr]`, `[{name: pdf, dpi: 150}]`."""
    output: str | None = None
    """Folder for what `outputs` makes; files are named after what was read."""
    reader: PageReaderConfig = PageReaderConfig()

    @model_validator(mode="after")
    def _outputs_have_a_place(self) -> "TranscribeConfig":
        if bool(self.outputs) != (self.output is not None):
            raise ValueError("outputs=[json, ...] and output=FOLDER belong together")
        return self


@dataclass(frozen=True)
class Transcript:
    """One document as it was read."""

    source: str
    pages: tuple[Page, ...]
    files: tuple[Path, ...]
    """What was written of it."""


def transcribe(config: TranscribeConfig) -> Iterator[Transcript]:
    """Read documents one after the other; what cannot be read says so in its pages.

    Raises:
        ConfigError: There is no such input, or the folder cannot be written.
        BundleError: The detector or the recogniser cannot be loaded.
    """
    source = Path(config.input).expanduser()
    if not source.exists():
        hint = "; jobs/batch_ocr.py reads buckets" if "://" in config.input else ""
        raise ConfigError(f"input={config.input}: there is no such file or folder{hint}")
    folder = None if config.output is None else Path(config.output).expanduser()
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ConfigError(f"output={config.output} is a file, expected a folder")
    reader = PageReader.load(config.reader)
    for name, pages in groupby(reader.read_document(source), key=lambda page: page.source):
        document = tuple(pages)
        relative = Path(name).relative_to(source) if source.is_dir() else Path(Path(name).name)
        is_empty = not relative.name  # a folder without documents, which a page says
        written = () if folder is None or is_empty else _write(config, folder / relative, document)
        yield Transcript(name, document, tuple(written))


def count_documents(config: TranscribeConfig) -> int:
    """Return how many files there are to read."""
    source = Path(config.input).expanduser()
    return len(list_documents(source)) if source.is_dir() else 1


def _write(config: TranscribeConfig, stem: Path, pages: tuple[Page, ...]) -> Iterator[Path]:
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for output in config.outputs:
            pictures = open_pictures(pages[0].source, pages, config.reader.documents)
            for name, content in output_files(output, stem.name, pages, pictures):
                path = stem.with_name(name)
                path.write_bytes(content)
                yield path
    except OSError as error:
        raise ConfigError(f"output={config.output} cannot be written: {error}") from error
