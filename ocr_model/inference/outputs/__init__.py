"""The one list of output formats."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, assert_never

from pydantic import BeforeValidator, Field

from ocr_model.image import Pixels
from ocr_model.inference.outputs.alto import ALTOConfig, write_alto
from ocr_model.inference.outputs.hocr import HOCRConfig, write_hocr
from ocr_model.inference.outputs.overlay import OverlayConfig, draw_overlay
from ocr_model.inference.outputs.page_json import JSONConfig, write_json
from ocr_model.inference.outputs.plain_text import TextConfig, write_text
from ocr_model.inference.outputs.searchable_pdf import PDFConfig, write_pdf
from ocr_model.inference.pages import Page

OutputConfig = Annotated[
    ALTOConfig | HOCRConfig | JSONConfig | OverlayConfig | PDFConfig | TextConfig,
    Field(discriminator="name"),
]


def _names_are_formats(outputs: object) -> object:
    if isinstance(outputs, str):
        outputs = [outputs]
    if not isinstance(outputs, list | tuple):
        return outputs
    return [{"name": given} if isinstance(given, str) else given for given in outputs]


OutputConfigs = Annotated[tuple[OutputConfig, ...], BeforeValidator(_names_are_formats)]
"""Formats, by name or with their settings."""


def output_files(
    config: ALTOConfig | HOCRConfig | JSONConfig | OverlayConfig | PDFConfig | TextConfig,
    stem: str,
    pages: Sequence[Page],
    pictures: Iterable[Pixels | None] = (),
) -> Iterator[tuple[str, bytes]]:
    """Make the files of a document: one of all pages, or of an overlay one for each.

    Args:
        config: The format.
        stem: The names' beginning; `.json` or the like follows.
        pages: Of one document.
        pictures: One per page, of the page's size, or None where it could not be read. Only those
            formats take any whose config `needs_pictures`; they ask for one after the other.

    Returns:
        Names and contents.

    Raises:
        ValueError: There are more pages than pictures, or fewer, or one has another size.
    """
    match config:
        case JSONConfig():
            yield f"{stem}.json", write_json(pages)
        case TextConfig():
            yield f"{stem}.txt", write_text(pages)
        case HOCRConfig():
            yield f"{stem}.hocr", write_hocr(pages)
        case ALTOConfig():
            yield f"{stem}.alto.xml", write_alto(pages)
        case PDFConfig():
            yield f"{stem}.pdf", write_pdf(pages, pictures, config)
        case OverlayConfig():
            for page, pixels in zip(pages, pictures, strict=True):
                name = f"{stem}.png" if len(pages) == 1 else f"{stem}-{page.number:04}.png"
                yield name, draw_overlay(page, pixels)
        case _:
            assert_never(config)
