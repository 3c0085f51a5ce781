import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from ocr_model.config import load_config
from ocr_model.inference.bulk.config import BatchConfig
from ocr_model.inference.bulk.console import BatchConsole
from ocr_model.inference.bulk.items import Item
from ocr_model.inference.bulk.ledger import Counts, Ledger
from ocr_model.inference.bulk.listing import Listing
from ocr_model.inference.bulk.manifest import BatchResult, Manifest, begin
from ocr_model.inference.bulk.page_rows import page_row, row_page
from ocr_model.inference.bulk.plan import Plan
from ocr_model.inference.bulk.report import write_report
from ocr_model.inference.bulk.rows import error_row, filled_row, rows_table
from ocr_model.inference.pages import Block, Line, Page, Word

SQUARE = ((0.0, 0.0), (8.0, 0.0), (8.0, 4.0), (0.0, 4.0))
RIGHT = ((8.0, 0.0), (16.0, 0.0), (16.0, 4.0), (8.0, 4.0))
BOTH = ((0.0, 0.0), (16.0, 0.0), (16.0, 4.0), (0.0, 4.0))
WORDS = (
    Word("to", 0.5, (0.5, 1.0), SQUARE, 0.25),
    Word("sea\udc80", 0.75, (0.5, 1.0, 1.0), RIGHT),
)
PAGE = Page(24, 12, (Block((Line(WORDS, BOTH),), BOTH),), 2, "/in/a.pdf", 90, 0.0, 1.5)


def test_a_page_comes_back_from_its_row() -> None:
    row = page_row(Item("/in/a.pdf", 7, "e"), PAGE, "model")
    (stored,) = rows_table([row]).to_pylist()
    found = row_page(stored)
    assert found.text == "to sea\\udc80"
    assert found.words[0] == WORDS[0]
    assert (found.blocks[0].polygon, found.lines[0].polygon) == (BOTH, BOTH)
    assert (found.width, found.number, found.rotation, found.skew) == (24, 2, 90, 1.5)
    assert stored["confidence"] == pytest.approx((2 * 0.5 + 9 * 0.75) / 11)


def _read_output(folder: Path, picture: bytes, mode: str) -> tuple[Manifest, BatchResult]:
    (folder / "in").mkdir()
    for name in ("a<b>.png", "b.png"):
        (folder / "in" / name).write_bytes(picture)
    settings = [f"input={folder}/in", f"output={folder}/out", f"mode={mode}"]
    config = load_config(BatchConfig, None, [*settings, "price_per_machine_hour=0.36"])
    manifest = begin(config)
    ledger, plan = Ledger(manifest.place), Plan(manifest.place)
    (shard,) = plan.extend(Listing(manifest.config), unit_size=2, most=9)
    (unit,) = shard.units_of([0])
    page = Page(24, 12, PAGE.blocks)
    row = (
        page_row(unit.items[1], page, "m")
        if mode == "pages"
        else filled_row(unit.items[1], "m", error="", text="sea")
    )
    counts = ledger.write(unit.name, rows_table([error_row(unit.items[0], "bad: <x>", "m"), row]))
    ledger.finish(shard)
    marks = [(5.0, 1), (10.0, 2)]
    result = BatchResult("complete", counts, ledger.totals(), 10.0, 3, 2, marks, [(0, 0)])
    return manifest, result


@pytest.mark.parametrize("mode", ["pages", "words"])
def test_the_report_tells_rates_costs_and_errors_and_shows_samples(
    tmp_path: Path, plain_picture: Callable[..., bytes], mode: str
) -> None:
    manifest, result = _read_output(tmp_path, plain_picture(), mode)
    write_report(manifest, result)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    assert "<td>cost of a million images</td><td>1,000.00</td>" in page  # 2 machines, 0.2 images/s
    assert "bad: &lt;x&gt;" in page
    assert "a&lt;b&gt;.png" in page


def test_the_console_counts_what_it_is_told(
    tmp_path: Path, plain_picture: Callable[..., bytes]
) -> None:
    text = io.StringIO()
    with BatchConsole(Console(file=text, width=100)) as console:
        console.report({"event": "planned", "images": 5, "done": 2})
        console.report({"event": "listed"})
        console.report({"event": "unit", "counts": Counts(3, 3, 2, 9, Counter(bad=1))})
        console.report({"event": "stopping", "reason": "interrupted"})
        manifest, result = _read_output(tmp_path, plain_picture(), "words")
        result.reason = "interrupted"
        console.summarize(result, manifest)
    printed = text.getvalue()
    for expected in (
        "planned 5 images, 2 of them read before",
        "interrupted: the units in flight are read to the end",
        "2 images, 2 pages, 1 words in 10 s, 0.2 images/s",
        "3 objects were left out",
        "bad: 1",
        "The same command goes on.",
    ):
        assert expected in printed
