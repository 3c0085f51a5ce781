"""hOCR 1.2: text in XHTML, with places and confidences in `title` attributes.

Source: the hOCR specification, kba.github.io/hocr-spec/1.2.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal
from xml.etree.ElementTree import Element, SubElement

from ocr_model.config import Config
from ocr_model.inference.outputs.places import bounds, is_box, text_angle
from ocr_model.inference.outputs.xml_text import allowed, to_bytes
from ocr_model.inference.pages import Block, Line, Page, Quad, Word

_SYSTEM = "ocr-on-ray"
_CAPABILITIES = "ocr_page ocr_carea ocr_par ocr_line ocrx_word ocrp_wconf ocrp_poly"
_DOCTYPE = (
    '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" '
    '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
)
_LEAST_ANGLE = 0.1  # degrees


class HOCRConfig(Config):
    """hOCR."""

    needs_pictures: ClassVar[bool] = False

    name: Literal["hocr"] = "hocr"


def write_hocr(pages: Sequence[Page]) -> bytes:
    """Return pages as XHTML in UTF-8.

    A quote or semicolon in a picture's path is percent-encoded, since hOCR cannot escape it.
    """
    html = Element("html", {"xmlns": "http://www.w3.org/1999/xhtml"})
    head = SubElement(html, "head")
    SubElement(head, "title").text = allowed(pages[0].source if pages else "") or _SYSTEM
    facts = {
        "ocr-system": _SYSTEM,
        "ocr-capabilities": _CAPABILITIES,
        "ocr-number-of-pages": str(len(pages)),
    }
    for name, content in facts.items():
        SubElement(head, "meta", name=name, content=content)
    body = SubElement(html, "body")
    for i, page in enumerate(pages, 1):
        _add_page(body, page, i)
    return to_bytes(html, _DOCTYPE)


def _add_page(body: Element, page: Page, index: int) -> None:
    path = allowed(page.source).replace('"', "%22").replace(";", "%3B")
    title = f'image "{path}"; bbox 0 0 {page.width} {page.height}; ppageno {page.number - 1}'
    element = SubElement(body, "div", {"class": "ocr_page", "id": f"page_{index}", "title": title})
    element.text = "\n"  # an empty `<div/>` is no end to a reader of HTML
    for i, block in enumerate(page.blocks, 1):
        _add_block(element, block, page, f"{index}_{i}")


def _add_block(parent: Element, block: Block, page: Page, place: str) -> None:
    title = _box(block.polygon, page)
    area = SubElement(parent, "div", {"class": "ocr_carea", "id": f"block_{place}", "title": title})
    paragraph = SubElement(area, "p", {"class": "ocr_par", "id": f"par_{place}", "title": title})
    paragraph.text = "\n"
    for i, line in enumerate(block.lines, 1):
        _add_line(paragraph, line, page, f"{place}_{i}")


def _add_line(parent: Element, line: Line, page: Page, place: str) -> None:
    title, angle = _box(line.polygon, page), text_angle(line)
    if abs(angle) >= _LEAST_ANGLE:
        title += f"; textangle {angle:.1f}"
    element = SubElement(
        parent, "span", {"class": "ocr_line", "id": f"line_{place}", "title": title}
    )
    element.text = "\n"
    for i, word in enumerate(line.words, 1):
        attributes = {"class": "ocrx_word", "id": f"word_{place}_{i}", "title": _word(word, page)}
        SubElement(element, "span", attributes).text = allowed(word.text) or "\ufffd"


def _word(word: Word, page: Page) -> str:
    title = f"{_box(word.polygon, page)}; x_wconf {100 * word.confidence:.0f}"
    if word.char_confidences:
        title += "; x_confs " + " ".join(f"{100 * c:.0f}" for c in word.char_confidences)
    return title


def _box(polygon: Quad, page: Page) -> str:
    title = "bbox {} {} {} {}".format(*bounds(polygon, page))
    if not is_box(polygon):
        title += "; poly " + " ".join(str(round(value)) for point in polygon for value in point)
    return title
