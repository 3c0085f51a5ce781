"""Documents to pages: image files, PDFs and folders of both, with one page in memory at a time.

What a file is, its first bytes say, never its name. What cannot be read is a page with an `error`.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt, field_validator

from ocr_model import picture_formats
from ocr_model.config import Config
from ocr_model.errors import ConfigError, ImageError
from ocr_model.image import MAX_PIXELS, ImageInput, Pixels, decode_image
from ocr_model.inference.pdf_pages import open_pdf
from ocr_model.inference.pdf_process import PDFBounds
from ocr_model.inference.tiff_pages import open_tiff
from ocr_model.picture_formats import picture_kind

DocumentSource = ImageInput | str | os.PathLike[str]
Ranges = tuple[tuple[int, int | None], ...]
"""First and last page of each, from 1; None is the document's end."""

SUFFIXES = (*picture_formats.SUFFIXES, ".pdf")
"""Of the files that a folder is searched for, in either case."""

EXPECTED = f"expected {picture_formats.NAMES} or PDF"
"""What a document is, for errors."""

_HEAD_BYTES = 1024  # a PDF's mark may come that late (PDF 1.7, implementation note 13)
_PILLOWS_BOUND = 178_956_970  # it decodes no larger ones
_MOST_BYTES_PER_PIXEL, _METADATA_BYTES = 8, 2**24
_RANGE = re.compile(r"\s*(\d+)\s*(-\s*(\d*)\s*)?")

# Pixels, dpi where known, and what a limit changed.
_Loader = Callable[[], tuple[Pixels, float | None, str]]


class DocumentConfig(Config):
    """Which pages of a document are read, and how large they may be."""

    pages: str = ""
    """Such as `1-3,7,12-`, counted from 1; empty: all. They are read in the document's order."""
    max_pages: PositiveInt = 1000
    """Pages read of one document; what is beyond is one page with an error."""
    max_pixels: PositiveInt = Field(MAX_PIXELS, le=_PILLOWS_BOUND)
    """A larger image is refused, known from its header; a PDF's page is rendered smaller."""
    dpi: float = Field(200.0, ge=10, le=2400)
    """Pixels per inch of PDFs: at 200, capitals of 10 points are 20 pixels high."""
    password_variable: str = ""
    """The environment variable with the password of encrypted PDFs; empty: there is none."""
    pdf_bounds: PDFBounds | None = PDFBounds()
    """null: PDFs are drawn in this process, and nothing ends what takes too long or too much."""

    @field_validator("pages")
    @classmethod
    def _pages_are_ranges(cls, pages: str) -> str:
        _parse_ranges(pages)
        return pages

    @property
    def ranges(self) -> Ranges:
        """The chosen pages."""
        return _parse_ranges(self.pages)


@dataclass(frozen=True, slots=True, eq=False)
class PageImage:
    """The picture of one page, or why there is none."""

    pixels: Pixels | None
    """None where there is an error."""
    number: int
    """Of the page in its document, from 1."""
    source: str = ""
    """The path; empty where bytes or a picture were given."""
    error: str = ""
    """Why it cannot be read, as `reason: detail`."""
    dpi: float | None = None
    """Pixels per inch that a PDF's page was rendered at; None of pictures."""
    warnings: tuple[str, ...] = ()
    """What a limit changed."""


def open_pages(source: DocumentSource, config: DocumentConfig | None = None) -> Iterator[PageImage]:
    """Give the pages of a file, a folder, encoded bytes, an array or a Pillow image.

    A TIFF and a PDF have many pages; of animations the first frame is read. A folder gives those
    of all its files, in natural order. Each page is decoded when it is asked for, and not kept.
    What is wrong with a document or a page, a `PageImage` with an error says; the next ones follow.

    Raises:
        ConfigError: `password_variable` is not in the environment.
    """
    config = config or DocumentConfig()
    if not isinstance(source, str | os.PathLike):
        if isinstance(source, bytes | bytearray | memoryview):
            source = bytes(source)
        yield from _chosen_pages(_open_given(source, config), "", config)
        return
    path = Path(source)
    is_folder = os.path.isdir(path)  # noqa: PTH112  # never raises
    files = list_documents(path) if is_folder else [path]
    if not files:
        yield PageImage(None, 1, str(path), f"empty: a folder without {', '.join(SUFFIXES)}")
    for file in files:
        yield from _chosen_pages(_open_file(file, config), str(file), config)


def list_documents(folder: Path) -> list[Path]:
    """Return a folder's image files and PDFs, those of its subfolders too, in natural order.

    Natural is `page 2` before `page 10`. Hidden files and folders are left out. Folders that cannot
    be listed are among the files, so that whoever opens them is told why.
    """
    found, shut = list[Path](), list[Path]()
    for place, _, names in os.walk(
        folder, onerror=lambda error: shut.append(Path(error.filename).relative_to(folder))
    ):
        found += [(Path(place) / name).relative_to(folder) for name in names]
    documents = [
        path
        for path in found
        if path.suffix.lower() in SUFFIXES and os.path.isfile(folder / path)  # noqa: PTH113  # never raises
    ]
    seen = [
        path for path in documents + shut if not any(part.startswith(".") for part in path.parts)
    ]
    return [folder / path for path in sorted(seen, key=_natural_key)]


def _natural_key(path: Path) -> list[list[tuple[int, str]]]:
    """Number the runs of digits; what is equal by number and case is told apart by its spelling."""
    parts = [re.split(r"([0-9]+)", part.casefold()) for part in path.parts]
    numbered = [[(int(run), "") if i % 2 else (0, run) for i, run in enumerate(p)] for p in parts]
    return [*numbered, [(0, str(path))]]


def _chosen_pages(
    loaders: Iterator[_Loader], source: str, config: DocumentConfig
) -> Iterator[PageImage]:
    """Load the pages that are chosen, at most as many as there may be."""
    number = num_read = 0
    ranges = config.ranges
    ends = [last for _, last in ranges]
    try:
        for load in loaders:
            number += 1
            if not ranges or any(_is_in(number, first, last) for first, last in ranges):
                if num_read == config.max_pages:
                    detail = f"more than max_pages={config.max_pages}, the rest is unread"
                    yield PageImage(None, number, source, f"too_many_pages: {detail}")
                    return
                num_read += 1
                yield _loaded(load, number, source)
            if ends and all(last is not None and last <= number for last in ends):
                return  # what is wrong behind the last page that was asked for is not asked for
    except ImageError as error:  # of the document, at its beginning or behind its last good page
        yield PageImage(None, number + 1, source, str(error))
        return
    if not num_read:
        detail = f"none of {number} is among pages={config.pages!r}"
        yield PageImage(None, 1, source, f"no_such_page: {detail}")


def _loaded(load: _Loader, number: int, source: str) -> PageImage:
    try:
        pixels, dpi, limit = load()
    except ImageError as error:
        return PageImage(None, number, source, str(error))
    return PageImage(pixels, number, source, dpi=dpi, warnings=(limit,) if limit else ())


def _open_given(source: ImageInput, config: DocumentConfig) -> Iterator[_Loader]:
    if isinstance(source, bytes) and source:
        yield from _open_content(source, source[:_HEAD_BYTES], config)
    else:
        yield partial(_decode, source, config)


def _open_file(path: Path, config: DocumentConfig) -> Iterator[_Loader]:
    try:
        if not path.is_file():
            raise ImageError("unreadable", "not a file" if path.exists() else "no such file")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error)) from error
    yield from _open_content(path, head, config)


def _open_content(data: bytes | Path, head: bytes, config: DocumentConfig) -> Iterator[_Loader]:
    kind = document_kind(head)
    if kind == "pdf":
        yield from open_pdf(
            data,
            dpi=config.dpi,
            max_pixels=config.max_pixels,
            password=_password(config),
            bounds=config.pdf_bounds,
        )
    elif kind == "tiff":
        for page in open_tiff(data):
            yield partial(_decode, page, config)
    elif kind == "image":
        yield partial(_decode_file, data, config)
    elif not head:
        raise ImageError("empty", "zero bytes")
    else:
        raise ImageError("not_an_image", f"it begins with {head[:8]!r}, {EXPECTED}")


def document_kind(head: bytes) -> Literal["pdf", "tiff", "image"] | None:
    """Return what the first bytes of a file say that it is; None: nothing that is read here."""
    head = head[:_HEAD_BYTES]
    return picture_kind(head) or ("pdf" if b"%PDF-" in head else None)


def _decode(image: ImageInput, config: DocumentConfig) -> tuple[Pixels, None, str]:
    return decode_image(image, max_pixels=config.max_pixels), None, ""


def _decode_file(data: bytes | Path, config: DocumentConfig) -> tuple[Pixels, None, str]:
    if isinstance(data, bytes):
        return _decode(data, config)
    most = _MOST_BYTES_PER_PIXEL * config.max_pixels + _METADATA_BYTES
    try:
        size = data.stat().st_size
        if size > most:
            raise ImageError("too_large", f"{size} bytes, at most {most}")
        return _decode(data.read_bytes(), config)
    except OSError as error:
        raise ImageError("unreadable", error.strerror or str(error)) from error


def _password(config: DocumentConfig) -> str | None:
    name = config.password_variable
    if not name:
        return None
    if name not in os.environ:
        raise ConfigError(f"documents.password_variable: there is no environment variable {name!r}")
    return os.environ[name]


def _parse_ranges(pages: str) -> Ranges:
    ranges = []
    for text in pages.split(",") if pages.strip() else ():
        match = _RANGE.fullmatch(text)
        first = int(match[1]) if match else 0
        last = first if match is None or not match[2] else int(match[3]) if match[3] else None
        if first < 1 or (last is not None and last < first):
            raise ValueError(
                f"pages takes numbers and ranges from 1, as '1-3,7,12-', got {pages!r}"
            )
        ranges.append((first, last))
    return tuple(ranges)


def _is_in(number: int, first: int, last: int | None) -> bool:
    return first <= number and (last is None or number <= last)
