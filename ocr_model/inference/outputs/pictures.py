"""The pictures of pages that have been read, for formats that show them."""

from collections.abc import Iterator, Sequence

from ocr_model.image import Pixels
from ocr_model.inference.documents import DocumentConfig, DocumentSource, open_pages
from ocr_model.inference.pages import Page


def open_pictures(
    document: DocumentSource, pages: Sequence[Page], config: DocumentConfig
) -> Iterator[Pixels | None]:
    """Open a document again for the pictures of its pages, one at a time: none are kept meanwhile.

    A page that could not be read has None, and is not tried again; so has one that cannot be drawn
    in time now.
    """
    numbers = [str(page.number) for page in pages if not page.error]
    if not numbers:
        yield from [None] * len(pages)
        return
    chosen = config.replace(pages=",".join(numbers), max_pages=len(numbers))
    opened = open_pages(document, chosen)
    for page in pages:
        image = None if page.error else next(opened, None)
        yield None if image is None else image.pixels
