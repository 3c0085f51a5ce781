"""ALTO 4.3, the XML of libraries and archives.

Source: loc.gov/standards/alto, alto-4-3.xsd.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal
from xml.etree.ElementTree import Element, SubElement

from ocr_model.config import Config
from ocr_model.inference.outputs.places import bounds, is_box
from ocr_model.inference.outputs.xml_text import allowed, to_bytes
from ocr_model.inference.pages import Block, Line, Page, Quad, Word

_NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"
_SCHEMA = "http://www.loc.gov/standards/alto/v4/alto-4-3.xsd"


class ALTOConfig(Config):
    """ALTO 4."""

    needs_pictures: ClassVar[bool] = False

    name: Literal["alto"] = "alto"


def write_alto(pages: Sequence[Page]) -> bytes:
    """Return pages as ALTO in UTF-8, measured in pixels.

    A picture's name is given where all pages have the same: ALTO has one for the whole file.
    """
    root = Element(
        "alto",
        {
            "xmlns": _NAMESPACE,
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:schemaLocation": f"{_NAMESPACE} {_SCHEMA}",
            "SCHEMAVERSION": "4.3",
        },
    )
    _add_description(root, {page.source for page in pages})
    layout = SubElement(root, "Layout")
    for i, page in enumerate(pages, 1):
        _add_page(layout, page, i)
    return to_bytes(root)


def _add_description(root: Element, sources: set[str]) -> None:
    description = SubElement(root, "Description")
    SubElement(description, "MeasurementUnit").text = "pixel"
    if len(sources) == 1 and sources != {""}:
        information = SubElement(description, "sourceImageInformation")
        SubElement(information, "fileName").text = allowed(sources.pop())
    processing = SubElement(description, "Processing", ID="ocr")
    SubElement(processing, "processingCategory").text = "contentGeneration"
    software = SubElement(processing, "processingSoftware")
    SubElement(software, "softwareName").text = "ocr-on-ray"


def _add_page(layout: Element, page: Page, index: int) -> None:
    size = {"WIDTH": str(page.width), "HEIGHT": str(page.height)}
    number = str(page.number)
    element = SubElement(layout, "Page", {"ID": f"page_{index}", "PHYSICAL_IMG_NR": number, **size})
    if page.words:
        confidence = sum(word.confidence for word in page.words) / len(page.words)
        element.set("PC", _fraction(confidence))
    space = SubElement(element, "PrintSpace", {"HPOS": "0", "VPOS": "0", **size})
    for i, block in enumerate(page.blocks, 1):
        _add_block(space, block, page, f"{index}_{i}")


def _add_block(space: Element, block: Block, page: Page, place: str) -> None:
    element = SubElement(space, "TextBlock", ID=f"block_{place}")
    turned = page.rotation - page.skew  # counter-clockwise, as it is seen
    if turned:
        element.set("ROTATION", f"{turned:g}")
    _set_place(element, block.polygon, page)
    for i, line in enumerate(block.lines, 1):
        if line.words:  # ALTO knows no others
            _add_line(element, line, page, f"{place}_{i}")


def _add_line(parent: Element, line: Line, page: Page, place: str) -> None:
    element = SubElement(parent, "TextLine", ID=f"line_{place}")
    _set_place(element, line.polygon, page)
    for i, word in enumerate(line.words, 1):
        if i > 1:
            SubElement(element, "SP")
        _add_word(element, word, page, f"word_{place}_{i}")


def _add_word(parent: Element, word: Word, page: Page, name: str) -> None:
    content, confidence = allowed(word.text), _fraction(word.confidence)
    element = SubElement(parent, "String", {"ID": name, "CONTENT": content, "WC": confidence})
    if word.char_confidences:  # 0 is sure, 9 is not
        element.set("CC", "".join(str(round(9 * (1 - c))) for c in word.char_confidences))
    _set_place(element, word.polygon, page)


def _set_place(element: Element, polygon: Quad, page: Page) -> None:
    left, top, right, bottom = bounds(polygon, page)
    place = {"HPOS": left, "VPOS": top, "WIDTH": right - left, "HEIGHT": bottom - top}
    element.attrib.update({key: str(value) for key, value in place.items()})
    if not is_box(polygon):
        points = " ".join(f"{x:.7g},{y:.7g}" for x, y in polygon)
        SubElement(SubElement(element, "Shape"), "Polygon", POINTS=points)


def _fraction(confidence: float) -> str:
    return f"{confidence:.4g}"
