import re
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pypdfium2 as pdfium
import pytest

from ocr_model.inference.outputs.searchable_pdf import PDFConfig, write_pdf
from ocr_model.inference.pages import Line, Page

WHITE = np.full((400, 600, 3), 255, np.uint8)
AT_72 = PDFConfig(dpi=72.0)  # a point per pixel
TURNED = {  # where two lines of a page begin
    0: [(300, 200), (300, 230)],
    90: [(300, 200), (330, 200)],
    180: [(300, 200), (300, 170)],
    270: [(300, 200), (270, 200)],
}
WORD = re.compile(r'<word xMin="(.*)" yMin="(.*)" xMax="(.*)" yMax="(.*)">(.*)</word>')

MakeLine, MakePage = Callable[..., Line], Callable[..., Page]


def _by_poppler(data: bytes, path: Path, *options: str) -> str:
    """Return what Debian's poppler-utils read; `.ci/run` installs them."""
    if shutil.which("pdftotext") is None:
        pytest.skip("needs pdftotext, of poppler-utils")
    path.write_bytes(data)
    command = ["pdftotext", "-enc", "UTF-8", *options, str(path), "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _by_pdfium(data: bytes) -> list[str]:
    with pdfium.PdfDocument(data) as document:
        return [page.get_textpage().get_text_range() for page in document]


def _rendered(data: bytes, index: int = 0) -> np.ndarray:
    with pdfium.PdfDocument(data) as document:
        return document[index].render(scale=1, rev_byteorder=True).to_numpy().copy()


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def _scene() -> np.ndarray:
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 256, (20, 30, 3), np.uint8), (600, 400))


def test_poppler_copies_the_text_out_in_reading_order(document: list[Page], tmp_path: Path) -> None:
    data = write_pdf(document, [WHITE, None, WHITE])
    pages = _by_poppler(data, tmp_path / "a.pdf", "-raw").split("\f")[:-1]
    assert [text.split() for text in pages] == [page.text.split() for page in document]
    assert _lines(pages[0])[:5] == _lines(document[0].text)[:5]  # a steep one is a line per word
    assert _lines(pages[2]) == ["upside down"]


def test_pdfium_copies_the_text_out_in_reading_order(document: list[Page]) -> None:
    first, *others = _by_pdfium(write_pdf(document, [WHITE, None, WHITE]))
    assert _lines(first) == _lines(document[0].text.replace("ﬁ", "fi"))  # it spells ligatures out
    assert [_lines(text) for text in others] == [[], ["upside down"]]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_pages_that_were_read_turned_copy_out_and_are_shown_upright(
    rotation: int, make_line: MakeLine, make_page: MakePage, tmp_path: Path
) -> None:
    lines = [make_line("alpha beta", x, y, -rotation) for x, y in TURNED[rotation]]
    data = write_pdf([replace(make_page(lines), rotation=rotation)], [WHITE], AT_72)
    assert _lines(_by_pdfium(data)[0]) == ["alpha beta"] * 2
    assert _lines(_by_poppler(data, tmp_path / "a.pdf")) == ["alpha beta"] * 2
    assert _rendered(data).shape[:2] == ((600, 400) if rotation % 180 else (400, 600))


@pytest.mark.parametrize(
    "text",
    [
        "naïve €5 ½",
        "漢字 かな",
        "Ελλάδα Київ",
        "a\N{GRINNING FACE}b \N{MATHEMATICAL BOLD CAPITAL A}",
    ],
)
def test_any_script_copies_out(
    text: str, make_line: MakeLine, make_page: MakePage, tmp_path: Path
) -> None:
    data = write_pdf([make_page([make_line(text, 20, 40)])], [None])
    assert _lines(_by_poppler(data, tmp_path / "a.pdf")) == [text]
    assert _lines(_by_pdfium(data)[0]) == [text]


@pytest.mark.parametrize("text", ["שלום", "سلام"])
def test_words_from_right_to_left_copy_out_in_the_order_they_are_spelt(
    text: str, make_line: MakeLine, make_page: MakePage, tmp_path: Path
) -> None:
    data = write_pdf([make_page([make_line(text, 20, 40)])], [None])
    assert _lines(_by_pdfium(data)[0]) == [text]
    marks = dict.fromkeys(map(ord, "\u202a\u202b\u202c"))  # poppler embraces it by these
    assert _lines(_by_poppler(data, tmp_path / "a.pdf").translate(marks)) == [text]


@pytest.mark.parametrize("is_one_line", [True, False])
def test_words_that_touch_are_still_two(
    is_one_line: bool, make_line: MakeLine, make_page: MakePage, tmp_path: Path
) -> None:
    left, right = make_line("one two", 20, 40).words
    right = replace(right, polygon=tuple((x - 10, y) for x, y in right.polygon))
    words = [(left, right)] if is_one_line else [(left,), (right,)]
    page = make_page([Line(part, left.polygon) for part in words])
    data = write_pdf([page], [None])
    assert _lines(_by_pdfium(data)[0]) == ["one two"]
    assert _by_poppler(data, tmp_path / "a.pdf").split() == ["one", "two"]


def test_words_lie_where_they_were_seen(document: list[Page], tmp_path: Path) -> None:
    data = write_pdf(document[:1], [WHITE], AT_72)
    found = WORD.findall(_by_poppler(data, tmp_path / "a.pdf", "-bbox"))
    places = {text: np.array([float(edge) for edge in edges]) for *edges, text in found}
    for word in document[0].lines[3].words + document[0].lines[4].words:
        xs, ys = zip(*word.polygon, strict=True)
        expected = [min(xs), min(ys), max(xs) - 0.15 * 16, max(ys)]  # a gap behind it
        np.testing.assert_allclose(places[word.text], expected, atol=1)


@pytest.mark.parametrize("degrees", [0, 30, -75, 90, 180])
def test_turned_words_fill_their_quads(
    degrees: float, make_line: MakeLine, make_page: MakePage
) -> None:
    page = make_page([make_line("turned", 300, 200, degrees)])
    with pdfium.PdfDocument(write_pdf([page], [None], AT_72)) as document:
        text = document[0].get_textpage()
        boxes = np.array([text.get_charbox(i, loose=True) for i in range(len("turned"))])
    xs, ys = zip(*page.words[0].polygon, strict=True)
    middle = (boxes[:, :2] + boxes[:, 2:]).mean(0) / 2
    np.testing.assert_allclose(middle, (np.mean(xs), 400 - np.mean(ys)), atol=2)
    assert boxes[:, 0].min() == pytest.approx(min(xs), abs=3)
    assert boxes[:, 3].max() == pytest.approx(400 - min(ys), abs=3)


def test_the_picture_is_shown_and_the_text_is_not(document: list[Page]) -> None:
    scene = _scene()
    shown = _rendered(write_pdf(document[:1], [scene], AT_72))
    bare = _rendered(write_pdf([Page(600, 400)], [scene], AT_72))
    assert np.abs(shown.astype(int) - scene).mean() < 3
    np.testing.assert_array_equal(shown, bare)


def test_pages_have_the_size_of_their_pictures_on_paper(document: list[Page]) -> None:
    with pdfium.PdfDocument(write_pdf(document, [WHITE, None, WHITE])) as written:
        assert [page.get_size() for page in written] == [(216, 144), (595, 842), (216, 144)]


def test_a_picture_too_long_for_a_page_of_pdf_is_made_to_fit() -> None:
    with pdfium.PdfDocument(write_pdf([Page(10, 28_800)], [None], AT_72)) as written:
        assert written[0].get_size() == (5, 14_400)


def test_control_characters_and_empty_or_flat_words_do_no_harm(
    make_line: MakeLine, make_page: MakePage
) -> None:
    line = make_line("a\0b\ud800c flat", 20, 40)
    first, flat = line.words
    point = (flat.polygon[0],) * 4
    words = (first, replace(flat, polygon=point), replace(flat, text="", char_confidences=()))
    (text,) = _by_pdfium(write_pdf([make_page([replace(line, words=words)])], [None]))
    assert re.sub(r"[^a-z ]", "", text).split() == ["abc", "flat"]


def test_quality_decides_the_size() -> None:
    small = write_pdf([Page(600, 400)], [_scene()], PDFConfig(jpeg_quality=20))
    large = write_pdf([Page(600, 400)], [_scene()], PDFConfig(jpeg_quality=95))
    assert len(small) < len(large) / 2


def test_threads_write_at_once(document: list[Page]) -> None:
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda _: write_pdf(document, [WHITE, None, WHITE]), range(12)))
    texts = {tuple(_by_pdfium(data)) for data in written}
    assert len(texts) == 1
