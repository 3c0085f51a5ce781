import string
from collections import defaultdict
from itertools import combinations, pairwise
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import Image

from ocr_model.config import load_config
from ocr_model.data.synthetic.pages import PageConfig, RenderedPage, page_renderer, render_page
from ocr_model.data.synthetic.typesetting import SetWord
from ocr_model.data.synthetic.warp import Warp
from ocr_model.errors import ConfigError

KINDS = ("paragraph", "form", "receipt", "table", "scene")
SMALL = [
    "fonts.system=false", "lexicon.size=5000", "page_side.least=200", "page_side.most=280",
    "scene_side.least=160", "scene_side.most=320", "scene.x_height.most=24",
]  # fmt: skip
CLEAN = [
    f"degrade.{step}.probability=0" for step in ("blur", "noise", "resolution", "jpeg")
] + ["scene.border.probability=0", "scene.shadow.probability=0"]  # fmt: skip
FLAT = ["paper.scan=0", "paper.photo=0"]
MARKS = string.punctuation.replace("$", "").replace("%", "").replace("-", "").replace("+", "")


def _config(*overrides: str, kind: str | None = None) -> PageConfig:
    kinds = [f"kinds.{name}={int(name == kind)}" for name in KINDS] if kind else []
    return load_config(PageConfig, None, [*SMALL, *kinds, *overrides])


def _pages(config: PageConfig, number: int, *, is_validation: bool = False) -> list[RenderedPage]:
    return [render_page(config, 0, n, is_validation=is_validation) for n in range(number)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_words_with_a_quad_per_character_inside_the_picture(kind: str) -> None:
    num_words = 0
    for page in _pages(_config(kind=kind), 50):
        assert page.kind == kind
        height, width = page.pixels.shape[:2]
        bounds = (160, 320) if kind == "scene" else (200, 280)
        assert bounds[0] <= max(height, width) <= bounds[1]
        num_words += len(page.words)
        for word in page.words:
            assert word.char_quads.shape == (len(word.text), 4, 2)
            assert not set(word.text) & set(string.whitespace)
            assert (word.char_quads >= 0).all()
            assert (word.char_quads <= (width, height)).all()
    assert num_words > 50


def test_a_page_is_a_function_of_seed_number_and_part() -> None:
    config = _config()
    first = [page.pixels.tobytes() for page in _pages(config, 12)]
    page_renderer.cache_clear()
    again = [
        render_page(config, 0, number, is_validation=False).pixels.tobytes()
        for number in reversed(range(12))
    ]
    assert first == again[::-1]
    assert len(set(first)) == 12
    others = [(1, 0, False), (0, 0, True)]
    for seed, number, is_validation in others:
        page = render_page(config, seed, number, is_validation=is_validation)
        assert page.pixels.tobytes() != first[0]


@pytest.mark.parametrize("kind", KINDS)
def test_quads_hold_all_ink_and_no_quad_is_empty(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _config(*CLEAN, kind=kind)
    written = _pages(config, 12)
    monkeypatch.setattr(SetWord, "draw", lambda _self, _mask: None)
    monkeypatch.setattr(
        Warp,
        "apply",
        lambda self, layers: [np.zeros((self.height, self.width), np.uint8) for _ in layers],
    )
    for number, (page, blank) in enumerate(zip(written, _pages(config, 12), strict=True)):
        ink = np.abs(page.pixels.astype(int) - blank.pixels.astype(int)).max(axis=2)
        quads = [quad for word in page.words for quad in word.char_quads]
        assert all(_mean_inside(ink, quad) > 4 for quad in quads), number
        is_inside = np.zeros(ink.shape, np.uint8)
        for quad in quads:
            cv2.fillConvexPoly(is_inside, np.floor(quad).astype(np.int32), 1)
        is_inside = cv2.dilate(is_inside, np.ones((3, 3), np.uint8))
        assert ink[is_inside == 0].max(initial=0) < 60, number
        assert ink[is_inside == 0].mean() < 0.2, number


def _mean_inside(ink: np.ndarray, quad: np.ndarray) -> float:
    left, top = np.floor(quad.min(axis=0)).astype(int)
    right, bottom = np.ceil(quad.max(axis=0)).astype(int)
    return float(ink[top : max(bottom, top + 1), left : max(right, left + 1)].mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_words_quad_holds_those_of_its_characters(kind: str) -> None:
    for page in _pages(_config(kind=kind), 8):
        for word in page.words:
            corners = word.char_quads.reshape(-1, 2)
            quad = word.quad.reshape(-1, 1, 2)
            depths = [cv2.pointPolygonTest(quad, corner.tolist(), True) for corner in corners]
            assert min(depths) > -0.1


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_words_of_a_flat_page_do_not_overlap(kind: str) -> None:
    for number, page in enumerate(_pages(_config(*FLAT, kind=kind), 15)):
        boxes = [(word.quad.min(axis=0), word.quad.max(axis=0), word.text) for word in page.words]
        for (low, high, text), (other_low, other_high, other) in combinations(boxes, 2):
            shared = np.minimum(high, other_high) - np.maximum(low, other_low)
            assert shared.min() < 1, (number, text, other)


@pytest.mark.parametrize("kind", KINDS[:-1])
def test_blocks_are_read_from_left_to_right_and_from_top_to_bottom(kind: str) -> None:
    for number, page in enumerate(_pages(_config(*FLAT, kind=kind), 15)):
        assert [word.line for word in page.words] == sorted(word.line for word in page.words)
        assert [word.block for word in page.words] == sorted(word.block for word in page.words)
        for word, following in pairwise(page.words):
            if word.line == following.line:
                assert word.block == following.block
                assert word.quad[1, 0] < following.quad[0, 0] + 1, (number, word.text)
            elif word.block == following.block:
                assert word.quad[2:, 1].max() < following.quad[2:, 1].max() + 1, (number, word.text)


def test_training_and_validation_have_no_word_in_common() -> None:
    config = _config()
    parts = [
        {
            word.text.lower().strip(MARKS)
            for page in _pages(config, 40, is_validation=is_validation)
            for word in page.words
        }
        for is_validation in (False, True)
    ]
    shared = {text for text in parts[0] & parts[1] if sum(map(str.isalnum, text)) > 2}
    assert shared == set()
    assert all(len(part) > 100 for part in parts)


def test_words_of_a_scene_stand_at_angles() -> None:
    angles = defaultdict(int)
    for page in _pages(_config("scene.placement.rotation_degrees=45", kind="scene"), 30):
        for word in page.words:
            across = word.quad[1] - word.quad[0]
            angles[round(np.degrees(np.arctan2(across[1], across[0])) / 10)] += 1
    assert len(angles) >= 4


def test_photographs_are_the_background_of_scenes(tmp_path: Path) -> None:
    Image.fromarray(np.full((60, 80, 3), (10, 200, 10), np.uint8)).save(tmp_path / "green.png")
    config = _config(*CLEAN, f"scene.photos={tmp_path}", kind="scene")
    for page in _pages(config, 5):
        assert np.median(page.pixels.reshape(-1, 3), axis=0).tolist() == [10, 200, 10]


def test_letters_are_as_high_as_asked() -> None:
    config = _config("x_height.least=12", "x_height.most=12", *FLAT, kind="form")
    heights = [
        np.ptp(quad[:, 1])
        for page in _pages(config, 10)
        for word in page.words
        for char, quad in zip(word.text, word.char_quads, strict=True)
        if char in "vwxz"
    ]
    assert 11 < np.median(heights) < 13.5


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([f"kinds.{kind}=0" for kind in KINDS], "kinds: all are 0, so there is nothing to draw"),
        (["page_side.least=2000"], r"least is 2000.0, above most"),
        (["paper.flat=0", "paper.scan=0", "paper.photo=0"], "no page can be seen"),
        (["lexicon.punctuation=0.5"], "lexicon.punctuation has no effect"),
        (["lexicon.shares.date=1"], "lexicon.shares has no effect"),
        (["x_heigth.least=3"], "x_height'"),
    ],
)
def test_wrong_settings_are_errors(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(PageConfig, None, overrides)


def test_fonts_that_cannot_draw_what_pages_need_are_an_error(tmp_path: Path) -> None:
    font = TTFont(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    letters = subset.Subsetter()
    letters.populate(text=string.ascii_letters)
    letters.subset(font)
    font.save(tmp_path / "letters.ttf")
    only = [
        "fonts.packages=false",
        "fonts.system=false",
        "lexicon.size=5000",
        f"fonts.folders=[{tmp_path}]",
    ]
    with pytest.raises(ConfigError, match="none of 1 fonts has all"):
        render_page(load_config(PageConfig, None, only), 0, 0, is_validation=False)
