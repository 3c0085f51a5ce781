import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree, html

from ocr_model.inference.outputs.hocr import write_hocr
from ocr_model.inference.pages import Block, Line, Page, Word

QUAD = ((0.0, 0.0), (10.0, 0.0), (10.0, 5.0), (0.0, 5.0))
# A process of its own: the checker was written for Python 2, and this one warns of that.
CHECKER = [sys.executable, "-W", "ignore", "-c", "from hocr_spec.cli import main; main()"]


def _checked(path: Path, data: bytes) -> tuple[int, str]:
    path.write_bytes(data)
    done = subprocess.run([*CHECKER, path], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def _titles(data: bytes, kind: str) -> list[str]:
    return html.fromstring(data).xpath(f'//*[@class="{kind}"]/@title')


def test_pages_of_all_kinds_pass_the_checker(document: list[Page], tmp_path: Path) -> None:
    status, said = _checked(tmp_path / "a.hocr", write_hocr(document))
    assert (status, said) == (0, said)
    assert "[OK]" in said


@pytest.mark.parametrize(
    ("right", "wrong"), [(b"x_wconf 90", b"x_wconf 900"), (b" ocrp_poly", b""), (b"ocr_page", b"p")]
)
def test_the_checker_refuses_what_is_no_hocr(
    right: bytes, wrong: bytes, document: list[Page], tmp_path: Path
) -> None:
    status, said = _checked(tmp_path / "a.hocr", write_hocr(document).replace(right, wrong))
    assert status == 1
    assert "[ERROR]" in said


def test_the_text_is_that_of_the_pages_for_readers_of_html(document: list[Page]) -> None:
    tree = html.fromstring(write_hocr(document))
    for page, element in zip(document, tree.xpath('//*[@class="ocr_page"]'), strict=True):
        lines = [" ".join(e.text_content().split()) for e in element.find_class("ocr_line")]
        assert lines == [line.text for line in page.lines]


def test_pages_have_their_picture_and_number(document: list[Page]) -> None:
    titles = _titles(write_hocr(document), "ocr_page")
    assert titles[0] == 'image "scan.png"; bbox 0 0 600 400; ppageno 0'
    assert titles[2].endswith("ppageno 2")


def test_words_have_box_and_confidence_and_a_polygon_where_they_are_turned(
    document: list[Page],
) -> None:
    titles = _titles(write_hocr(document), "ocrx_word")
    assert titles[0] == "bbox 20 40 80 56; x_wconf 90; x_confs 90 90 90 90 90 90"
    assert "bbox 544 150 560 230; poly 560 150 560 230 544 230 544 150; x_wconf 30" in titles[15]


def test_turned_lines_have_their_angle_counter_clockwise(document: list[Page]) -> None:
    lines = _titles(write_hocr(document), "ocr_line")
    angles = [title.partition("textangle ")[2].partition(";")[0] for title in lines]
    assert angles == ["", "", "", "", "", "30.0", "-90.0", "180.0"]


@settings(max_examples=40, deadline=None)
@given(text=st.text(st.characters(exclude_categories=()), min_size=1, max_size=9))
def test_any_text_is_well_formed_xml(text: str) -> None:
    word = Word(text, 0.5, (0.5,) * len(text), QUAD)
    data = write_hocr([Page(20, 20, (Block((Line((word,), QUAD),), QUAD),), source=text)])
    etree.fromstring(data)
    ElementTree.fromstring(data)


def test_a_path_cannot_end_the_property_it_is_in(tmp_path: Path) -> None:
    data = write_hocr([Page(20, 20, source='my "scan"; bbox 1.png')])
    assert _titles(data, "ocr_page")[0].startswith('image "my %22scan%22%3B bbox 1.png"; bbox 0 0')
    assert _checked(tmp_path / "a.hocr", data)[0] == 0
