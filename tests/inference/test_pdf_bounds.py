import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from ocr_model.inference.documents import DocumentConfig, PageImage, open_pages
from ocr_model.inference.outputs.pictures import open_pictures
from ocr_model.inference.outputs.searchable_pdf import write_pdf
from ocr_model.inference.pages import Page
from ocr_model.inference.pdf_process import PDFBounds

MakePDF = Callable[..., bytes]

SQUARE = b"1 0 0 rg 10 10 50 50 re f"
ENDLESS = b"0 0 m 190 90 l 10 50 l f " * 500_000  # over half a minute
LONG_PATH = b"0 0 m " + b"1 1 l " * 8_000_000 + b"f"  # half a gigabyte
FORM = b"/Type/XObject/Subtype/Form/BBox[0 0 200 100]"
LITTLE_MEMORY = 2**27
IN_THIS_PROCESS = DocumentConfig(pdf_bounds=None)

bounded = pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux alone")


def _config(**bounds: float) -> DocumentConfig:
    return DocumentConfig(dpi=72.0, pdf_bounds=PDFBounds.model_validate(bounds))


def _reasons(pages: Iterator[PageImage]) -> list[str]:
    return [page.error.partition(": ")[0] for page in pages]


def _forms(make_pdf: MakePDF) -> bytes:
    """Return forms each of which draws the next one ten times, and the last one itself."""
    last = 13
    forms = [
        (FORM + b"/Resources<</XObject<</F %d 0 R>>>>" % min(number + 1, last), b"/F Do " * 10)
        for number in range(4, last + 1)
    ]
    return make_pdf(b"/F Do", resources=b"/XObject<</F 4 0 R>>", objects=forms)


def _picture(make_pdf: MakePDF, times: int) -> bytes:
    """Return a page that shows a picture of nine million pixels so many times, ever smaller."""
    kind = b"/Type/XObject/Subtype/Image/Width 3000/Height 3000/ColorSpace/DeviceRGB"
    picture = kind + b"/BitsPerComponent 8/Interpolate true", bytes(27_000_000)
    shown = b"".join(b"q %d 0 0 90 0 0 cm /I Do Q " % (1 + n % 190) for n in range(times))
    return make_pdf(shown, resources=b"/XObject<</I 4 0 R>>", objects=[picture])


def _object_stream(num_blanks: int) -> bytes:
    """Return a PDF whose catalogue and page lie in a compressed stream, behind blanks."""
    inner = [b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>"]
    inner += [b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 20 10]>>"]
    places = [sum(len(part) for part in inner[:n]) for n in range(3)]
    index = b" ".join(b"%d %d" % (n, place) for n, place in enumerate(places, 1)) + b" "
    data = zlib.compress(index + b"".join(inner) + b" " * num_blanks, 9)
    head = b"%PDF-1.7\n"
    stream = b"4 0 obj\n<</Type/ObjStm/N 3/First %d/Filter/FlateDecode/Length %d>>stream\n"
    stream = head + stream % (len(index), len(data)) + data + b"\nendstream\nendobj\n"
    rows = [(2, 4, 0), (2, 4, 1), (2, 4, 2), (1, len(head), 0), (1, len(stream), 0)]
    table = b"\0\0\0\0\0\0" + b"".join(
        bytes([kind]) + place.to_bytes(4, "big") + bytes([number]) for kind, place, number in rows
    )
    entries = b"/Type/XRef/Size 6/W[1 4 1]/Root 1 0 R/Length %d" % len(table)
    xref = b"5 0 obj\n<<%b>>stream\n%b\nendstream\nendobj\n" % (entries, table)
    return stream + xref + b"startxref\n%d\n%%%%EOF" % len(stream)


def _children() -> set[int]:
    """Return the processes that draw for this one."""
    found = psutil.Process().children()
    return {child.pid for child in found if "ocr_model.inference.pdf_child" in child.cmdline()}


def test_both_ways_give_the_same_pixels_and_errors(make_pdf: MakePDF) -> None:
    documents = [
        make_pdf(SQUARE, b"", SQUARE),
        make_pdf(b"/G gs " + SQUARE, resources=b"/ExtGState<</G<</ca 0.5>>>>"),
        make_pdf(SQUARE).replace(b"/MediaBox[0 0 200 100]", b"/MediaBox[0 0 99 70]/Rotate 90"),
        make_pdf(SQUARE)[:60],
        make_pdf(),
    ]
    for document in documents:
        here = list(open_pages(document, IN_THIS_PROCESS))
        apart = list(open_pages(document))
        assert [(p.error, p.dpi, p.warnings) for p in here] == [
            (p.error, p.dpi, p.warnings) for p in apart
        ]
        for one, other in zip(here, apart, strict=True):
            np.testing.assert_array_equal(one.pixels, other.pixels)


def test_a_page_that_takes_too_long_does_not_cost_the_others(make_pdf: MakePDF) -> None:
    pages = list(open_pages(make_pdf(SQUARE, ENDLESS, SQUARE), _config(page_seconds=1)))
    assert pages[1].error == "pdf_too_slow: PDFium was not done in 1 s"
    assert [page.number for page in pages] == [1, 2, 3]
    for page in (pages[0], pages[2]):
        assert page.pixels is not None, page.error
        assert page.pixels[60, 30].tolist() == [255, 0, 0]


@bounded
def test_a_page_that_takes_too_much_memory_does_not_cost_the_others(
    make_pdf: MakePDF, tmp_path: Path
) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_pdf(SQUARE, LONG_PATH, SQUARE))
    first, second, third = open_pages(path, _config(memory_bytes=LITTLE_MEMORY))
    assert second.error == "pdf_too_large: PDFium needs more than 128 MiB"
    assert (first.error, third.error) == ("", "")


@bounded
@pytest.mark.parametrize(
    "make",
    [
        _forms,
        lambda make_pdf: _picture(make_pdf, 5_000),
        lambda make_pdf: make_pdf(b"q " * 20_000_000),
        lambda make_pdf: make_pdf(b" " * 150_000_000),
        lambda _: _object_stream(150_000_000),
    ],
    ids=["forms", "picture", "states", "blanks", "object stream"],
)
def test_bombs_of_every_kind_end_their_process_alone(
    make: Callable[[MakePDF], bytes], make_pdf: MakePDF
) -> None:
    bomb = make(make_pdf)
    assert len(bomb) < 500_000
    bounds = _config(page_seconds=1, memory_bytes=LITTLE_MEMORY)
    assert _reasons(open_pages(bomb, bounds)) in (["pdf_too_slow"], ["pdf_too_large"])


def test_a_form_that_draws_itself_and_an_honest_object_stream_are_read(make_pdf: MakePDF) -> None:
    refers = b"/XObject<</F 4 0 R>>"
    form = FORM + b"/Resources<<" + refers + b">>", SQUARE + b" /F Do"
    for document in (make_pdf(b"/F Do", resources=refers, objects=[form]), _object_stream(0)):
        assert _reasons(open_pages(document)) == [""]


def test_a_document_of_slow_pages_is_given_up(make_pdf: MakePDF) -> None:
    bounds = _config(page_seconds=0.5, document_seconds=0.6)
    pages = list(open_pages(make_pdf(*[ENDLESS] * 4, SQUARE), bounds))
    assert {page.error.partition(": ")[0] for page in pages} == {"pdf_too_slow"}
    assert len(pages) < 5
    assert pages[-1].error == "pdf_too_slow: more than 0.6 s, the rest is unread"


def test_one_child_draws_one_document_after_the_other(make_pdf: MakePDF) -> None:
    document = make_pdf(SQUARE, SQUARE)
    for _ in range(3):
        next(open_pages(document))  # is left half read
    children = _children()
    for _ in range(3):
        assert _reasons(open_pages(document)) == ["", ""]
    assert _children() == children


def test_a_child_that_was_killed_is_replaced(make_pdf: MakePDF) -> None:
    document = make_pdf(SQUARE, SQUARE, SQUARE)
    pages = open_pages(document)
    assert next(pages).error == ""
    for pid in _children():
        os.kill(pid, signal.SIGKILL)
    assert next(pages).error == "pdf_crashed: PDFium ended by SIGKILL"
    assert next(pages).error == ""
    assert _reasons(open_pages(document)) == [""] * 3


def test_a_process_that_was_forked_has_children_of_its_own(
    make_pdf: MakePDF, tmp_path: Path
) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_pdf(SQUARE, SQUARE))
    script = (
        "import os, sys\nfrom ocr_model.inference.documents import open_pages\n"
        "read = lambda: [page.error for page in open_pages(sys.argv[1])] == ['', '']\n"
        "assert read()\npid = os.fork()\n"
        "assert all(read() for _ in range(20))\n"
        "assert not pid or os.waitpid(pid, 0)[1] == 0"
    )
    command = [sys.executable, "-c", script, str(path)]
    subprocess.run(command, check=True, timeout=60)


def test_a_child_ends_with_its_parent_even_in_the_midst_of_a_bomb(
    make_pdf: MakePDF, tmp_path: Path
) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(make_pdf(SQUARE, ENDLESS))
    script = (
        "import os, sys, threading, psutil\n"
        "from ocr_model.inference.documents import DocumentConfig, open_pages\n"
        "config = DocumentConfig(pdf_bounds={'page_seconds': 3})\n"
        "pages = open_pages(sys.argv[1], config)\nnext(pages)\n"
        "print(psutil.Process().children()[0].pid, flush=True)\nnext(pages)\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    child.wait(30)


def test_pictures_that_can_no_longer_be_drawn_are_none(make_pdf: MakePDF) -> None:
    document = make_pdf(SQUARE, ENDLESS, SQUARE)
    pages = [Page(200, 100, number=number) for number in (1, 2, 3)]
    pictures = list(open_pictures(document, pages, _config(page_seconds=1)))
    assert [picture is None for picture in pictures] == [False, True, False]
    assert write_pdf(pages, pictures).startswith(b"%PDF-")
    late = _config(document_seconds=1e-6)
    assert list(open_pictures(document, pages, late)) == [None] * 3


def test_pages_with_an_error_are_not_drawn_again(make_pdf: MakePDF) -> None:
    document = make_pdf(SQUARE, ENDLESS, SQUARE)
    error = "pdf_too_slow: PDFium was not done in 1 s"
    pages = [Page(200, 100), Page(0, 0, number=2, error=error), Page(200, 100, number=3)]
    pictures = list(open_pictures(document, pages, _config()))
    assert [picture is None for picture in pictures] == [False, True, False]
    assert list(open_pictures(document, pages[1:2], _config())) == [None]
