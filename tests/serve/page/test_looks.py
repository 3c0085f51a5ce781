"""What is seen of the page: where things stand, and in which colours."""

from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, Route, expect

Open = Callable[..., Page]


def _read(page: Page, path: Path) -> None:
    page.set_input_files("#file", path)
    expect(page.locator("page-text .word").first).to_be_visible(timeout=120_000)


def test_the_way_out_of_many_characters_stays_in_sight(open_page: Open, scan: Path) -> None:
    page = open_page(viewport={"width": 390, "height": 420})
    _read(page, scan)
    page.locator("page-picture polygon").first.click()
    expect(page.locator("dialog .heat").last).to_be_attached()
    expect(page.get_by_role("button", name="Close")).to_be_in_viewport(ratio=1)


def test_words_are_coloured_by_how_surely_they_were_read(open_page: Open, scan: Path) -> None:
    def less_and_less_sure(route: Route) -> None:
        response = route.fetch()
        answer = response.json()
        words = [
            word
            for block in answer["pages"][0]["blocks"]
            for line in block["lines"]
            for word in line["words"]
        ]
        for word, confidence in zip(words, (0.9, 0.6, 0.59), strict=False):
            word["confidence"] = confidence
        route.fulfill(response=response, json=answer)

    page = open_page()
    page.route("**/v1/ocr**", less_and_less_sure)
    _read(page, scan)
    words, outlines = page.locator("page-text .word"), page.locator("page-picture polygon")
    sureness = words.evaluate_all("all => all.map(word => word.dataset.sure)")
    assert sureness[:3] == ["high", "middling", "low"]
    colours = outlines.evaluate_all("all => all.map(each => getComputedStyle(each).stroke)")
    assert len(set(colours[:3])) == 3
