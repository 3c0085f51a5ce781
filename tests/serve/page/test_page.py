"""The page at `/` in a real browser, on the real service."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from playwright.sync_api import Download, Page, expect

Picture = Callable[..., bytes]
Open = Callable[..., Page]

_LONG_MILLISECONDS = 120_000  # a page of words on a busy machine
_PHONE = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}
_LINES = ("HOTEL Paris", "Room 1805")
_AA, _TARGET_PIXELS = 4.5, 44
_LEAST_CONTRAST = """() => {
  const canvas = document.createElement("canvas")
    .getContext("2d", {willReadFrequently: true});
  const luminance = (colour) => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
      .map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return colour === "rgba(0, 0, 0, 0)" ? ground(element.parentElement) : colour;
  };
  const isText = (element) => element.checkVisibility()
    && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const contrast = (element) => {
    const [dark, light] = [getComputedStyle(element).color, ground(element)].map(luminance)
      .sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const elements = [...document.body.querySelectorAll(":not(svg *)")];
  return Math.min(...elements.filter(isText).map(contrast));
}"""
"""WCAG 2.2, contrast (minimum): the least ratio of all text that is seen."""


def _read(page: Page, path: Path) -> None:
    page.set_input_files("#file", path)
    _is_read(page, path.name)


def _is_read(page: Page, name: str) -> None:
    expect(page.locator("#result-title")).to_have_text(name, timeout=_LONG_MILLISECONDS)
    expect(page.locator("#status")).to_contain_text("word")


def _words(page: Page) -> list[str]:
    return page.locator("page-text .word").all_inner_texts()


def _heat_is_shown(page: Page) -> None:
    """Wait for a heatmap with colour, one for each character that was read."""
    expect(page.locator("dialog .heat").first).to_be_visible(timeout=_LONG_MILLISECONDS)
    is_coloured = """canvas => {
      const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      return data.some((value, index) => index % 4 === 0 && value > data[index + 1] + 40);
    }"""
    for canvas in page.locator("dialog .heat canvas").all():
        assert canvas.evaluate(is_coloured)
    assert not page.locator("dialog .plain canvas").evaluate(is_coloured)


def _bytes(download: Download) -> bytes:
    return Path(download.path()).read_bytes()


def test_a_picture_becomes_outlines_and_text_and_pointing_at_one_shows_the_other(
    open_page: Open, scan: Path
) -> None:
    page = open_page()
    _read(page, scan)
    assert len(_words(page)) >= 3
    outlines, words = page.locator("page-picture polygon"), page.locator("page-text .word")
    expect(outlines).to_have_count(len(_words(page)))
    words.nth(1).hover()
    expect(page.locator("polygon.pointed")).to_have_attribute("data-word", "1")
    outlines.nth(2).hover()
    expect(page.locator("page-text .pointed")).to_have_attribute("data-word", "2")
    outline, picture = (
        outlines.first.bounding_box(),
        page.locator("page-picture img").bounding_box(),
    )
    assert outline is not None
    assert picture is not None
    assert picture["x"] < outline["x"] < picture["x"] + picture["width"] / 4  # HOTEL's place
    assert outline["width"] < picture["width"] / 2


def test_a_word_that_is_clicked_shows_where_each_character_was_seen(
    open_page: Open, scan: Path
) -> None:
    page = open_page()
    _read(page, scan)
    page.locator("page-picture polygon").first.click()
    _heat_is_shown(page)
    chars = page.locator("dialog .heat figcaption").all_inner_texts()
    assert "".join(char[0] for char in chars) == _words(page)[0]
    page.get_by_role("button", name="Close").click()
    expect(page.locator("dialog")).to_be_hidden()


@pytest.mark.parametrize("how", ["by its EXIF", "upside down"])
def test_words_of_a_turned_photograph_are_cut_out_upright(
    open_page: Open, page_picture: Picture, tmp_path: Path, how: str
) -> None:
    path, picture = tmp_path / "turned.jpg", Image.open(io.BytesIO(page_picture(*_LINES)))
    if how == "upside down":
        picture.rotate(180).save(path, quality=95)
    else:
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6  # to be shown turned clockwise
        picture.rotate(90, expand=True).save(path, quality=95, exif=exif)
    page = open_page()
    _read(page, path)
    page.locator("page-picture polygon").first.click()
    _heat_is_shown(page)
    chars = page.locator("dialog .heat figcaption").all_inner_texts()
    assert "".join(char[0] for char in chars) == _words(page)[0]
    assert _words(page)[0].startswith("HOTEL")


def test_what_was_read_is_downloaded_in_every_format(open_page: Open, scan: Path) -> None:
    page = open_page()
    _read(page, scan)
    signs = {
        "text": ("scan.txt", _words(page)[0].encode()),
        "json": ("scan.json", b'"ocr-on-ray pages"'),
        "hocr": ("scan.hocr", b"ocrx_word"),
        "alto": ("scan.alto.xml", b"<alto"),
        "pdf": ("scan.pdf", b"%PDF-"),
    }
    for name, (file_name, sign) in signs.items():
        with page.expect_download() as download:
            page.locator(f"[data-format={name}]").click()
        assert download.value.suggested_filename == file_name
        assert sign in _bytes(download.value)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy text").click()
    expect(page.locator("#status")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()").split() == " ".join(_words(page)).split()


def test_everything_can_be_done_by_keyboard(open_page: Open, scan: Path) -> None:
    page = open_page()

    def press_until(selector: str) -> None:
        for _ in range(20):
            page.keyboard.press("Tab")
            focused = page.locator(":focus")
            if focused.count() and focused.evaluate("(e, s) => e.matches(s)", selector):
                outline, stroke = focused.evaluate(
                    "e => [getComputedStyle(e).outlineWidth, getComputedStyle(e).strokeWidth]"
                )
                assert "3px" in (outline, stroke), "the focus is seen"
                return
        raise AssertionError(f"no Tab leads to {selector}")

    with page.expect_file_chooser() as chooser:
        press_until("[data-input=file]")
        page.keyboard.press("Enter")
    chooser.value.set_files(scan)
    _is_read(page, scan.name)
    press_until("page-picture polygon")
    page.keyboard.press("ArrowRight")
    expect(page.locator("page-text .pointed")).to_have_attribute("data-word", "1")
    press_until("[data-format=text]")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert _words(page)[0] in _bytes(download.value).decode()
    press_until("page-text .word")
    page.keyboard.press("ArrowDown")
    below = page.locator(":focus").get_attribute("data-word")
    assert below not in {None, "0"}
    expect(page.locator("polygon.pointed")).to_have_attribute("data-word", str(below))
    page.keyboard.press("Enter")
    _heat_is_shown(page)
    page.keyboard.press("Escape")
    expect(page.locator("page-text .word:focus")).to_have_attribute("data-word", str(below))


def test_a_screen_of_390_pixels_never_scrolls_sideways(open_page: Open, scan: Path) -> None:
    page = open_page(**_PHONE)

    def fits() -> bool:
        return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    expect(page.get_by_role("button", name="Take a photograph")).to_be_visible()
    assert page.locator("#photograph").get_attribute("capture") == "environment"
    assert fits()
    page.set_input_files("#photograph", scan)
    _is_read(page, scan.name)
    assert fits()
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= _TARGET_PIXELS
    page.locator("page-text .word").first.tap()
    _heat_is_shown(page)
    assert fits()
    dialog = page.locator("dialog").bounding_box()
    assert dialog is not None
    assert dialog["x"] >= 0
    assert dialog["x"] + dialog["width"] <= _PHONE["viewport"]["width"]  # type: ignore[index]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_the_contrast_of_aa(open_page: Open, scan: Path, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    assert page.evaluate(_LEAST_CONTRAST) >= _AA
    page.locator("summary").click()
    _read(page, scan)
    page.locator("page-text .word").first.hover()
    assert page.evaluate(_LEAST_CONTRAST) >= _AA


def test_a_broken_file_is_explained_and_the_next_one_is_read(
    open_page: Open, scan: Path, tmp_path: Path
) -> None:
    page = open_page()
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    page.set_input_files("#file", broken)
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("Neither picture nor PDF", timeout=_LONG_MILLISECONDS)
    expect(problem).to_contain_text("expected JPEG, PNG")
    expect(problem.get_by_role("button")).to_have_count(0)  # again would be the same
    _read(page, scan)
    expect(problem).to_be_hidden()


def test_a_service_that_needs_a_token_asks_for_it_and_goes_on(
    open_page: Open, scan: Path, tokens: dict[str, str]
) -> None:
    page = open_page("")
    page.set_input_files("#file", scan)
    expect(page.get_by_role("alert")).to_contain_text("A token is needed")
    expect(page.locator("#token")).to_be_focused()
    page.keyboard.type(tokens["tests"])
    page.keyboard.press("Enter")
    _is_read(page, scan.name)
    kept = "() => [sessionStorage.getItem('ocr-token'), localStorage.length, document.cookie]"
    assert page.evaluate(kept) == [tokens["tests"], 0, ""]


def test_files_are_pasted_and_dropped(open_page: Open, scan: Path) -> None:
    page = open_page()
    give = """([kind, name, values]) => {
      const transfer = new DataTransfer();
      for (const each of [name, "other.png"])
        transfer.items.add(new File([new Uint8Array(values)], each));
      const options = {bubbles: true, cancelable: true};
      document.body.dispatchEvent(kind === "paste"
        ? new ClipboardEvent(kind, {clipboardData: transfer, ...options})
        : new DragEvent(kind, {dataTransfer: transfer, ...options}));
    }"""
    for kind in ("paste", "drop"):
        page.evaluate(give, [kind, f"{kind}.png", list(scan.read_bytes())])
        _is_read(page, f"{kind}.png")
        expect(page.locator("#status")).to_contain_text("Only the first file was read")


def test_words_of_a_pdf_are_set_where_they_were_read_page_by_page(
    open_page: Open, page_picture: Picture, tmp_path: Path
) -> None:
    sheets = [Image.open(io.BytesIO(page_picture(line))) for line in ("HOTEL Paris", "Room")]
    path = tmp_path / "two.pdf"
    sheets[0].save(path, "PDF", save_all=True, append_images=sheets[1:], resolution=200)
    page = open_page()
    _read(page, path)
    first = _words(page)
    assert page.locator("page-picture text").all_text_contents() == first
    expect(page.locator("#no-picture")).to_be_visible()
    page.get_by_role("button", name="Next page").click()
    expect(page.locator("#page-number")).to_have_text("2 of 2")
    assert _words(page) != first


def test_what_is_under_way_can_be_stopped(open_page: Open, scan: Path) -> None:
    page = open_page()
    page.route("**/v1/ocr*", lambda route: None)  # held for ever
    page.set_input_files("#file", scan)
    expect(page.get_by_role("status").first).to_contain_text("Reading scan.png")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#status")).to_have_text("Stopped.")
