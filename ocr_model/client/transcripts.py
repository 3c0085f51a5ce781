"""Files read by a service: what `jobs/ocr_client.py` does."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import PositiveFloat, PositiveInt, model_validator

from ocr_model.client.client import Client
from ocr_model.client.exchange import Format, ServiceError
from ocr_model.config import Config
from ocr_model.errors import ConfigError
from ocr_model.inference.documents import list_documents

_SUFFIXES: dict[Format, str] = {
    "json": ".json",
    "text": ".txt",
    "hocr": ".hocr",
    "alto": ".alto.xml",
    "pdf": ".pdf",
}


class ClientConfig(Config):
    """What is read, by which service, and where the answers go."""

    input: str
    """An image, a PDF, or a folder of them."""
    address: str = "http://127.0.0.1:8000"
    """Of the service."""
    format: Format = "text"
    output: str | None = None
    """Folder for the answers, named after what was read; null: they are printed."""
    model: str = ""
    """A name that the service knows; empty: its default."""
    attempts: PositiveInt = 5
    """Of a request that is refused for the moment."""
    timeout_seconds: PositiveFloat = 150.0
    """For one answer."""
    token_variable: str = "OCR_TOKEN"
    """Environment variable with the token, where the service wants one."""

    @model_validator(mode="after")
    def _a_pdf_needs_a_folder(self) -> "ClientConfig":
        if self.format == "pdf" and self.output is None:
            raise ValueError("format=pdf is not printed: give output=FOLDER")
        return self


@dataclass(frozen=True)
class Answer:
    """What came of one file."""

    source: str
    text: str
    """The answer where it is to be printed, or where it was written to."""
    error: str = ""


def fetch(config: ClientConfig) -> Iterator[Answer]:
    """Send files one after the other.

    Raises:
        ConfigError: There is no such input, or the folder cannot be written.
    """
    source = Path(config.input).expanduser()
    if not source.exists():
        raise ConfigError(f"input={config.input}: there is no such file or folder")
    root = source if source.is_dir() else source.parent
    token = os.environ.get(config.token_variable)
    with Client(
        config.address,
        token=token,
        attempts=config.attempts,
        timeout_seconds=config.timeout_seconds,
    ) as client:
        for path in list_documents(source) if source.is_dir() else [source]:
            try:
                content = client.convert(path.read_bytes(), config.format, model=config.model)
            except (ServiceError, OSError) as error:
                yield Answer(str(path), "", str(error))
            else:
                yield Answer(str(path), _kept(config, path.relative_to(root), content))


def _kept(config: ClientConfig, name: Path, content: bytes) -> str:
    if config.output is None:
        return content.decode()
    path = Path(config.output).expanduser() / f"{name}{_SUFFIXES[config.format]}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"output={config.output} cannot be written: {error}") from error
    return str(path)
