from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ocr_model.config import load_config
from ocr_model.data.synthetic.fonts import FontsConfig, load_fonts
from ocr_model.data.synthetic.lettering import change_weight, print_dots, set_text
from ocr_model.data.synthetic.renderer import RenderedWord, WordRenderer, word_renderer
from ocr_model.data.synthetic.stages import RendererConfig
from ocr_model.errors import ConfigError, DatasetError

PACKAGED = "fonts.system=false"
BARE = [PACKAGED] + [
    f"{stage}.probability=0"
    for stage in (
        "weight", "tracking", "curve", "border", "shadow", "distortion", "surface", "clutter",
        "degrade.blur", "degrade.noise", "degrade.resolution", "degrade.jpeg",
    )
]  # fmt: skip


def _renderer(*overrides: str) -> WordRenderer:
    return word_renderer(load_config(RendererConfig, None, list(overrides)))


def _render(renderer: WordRenderer, text: str, seed: int = 0) -> RenderedWord:
    return renderer.render(text, np.random.default_rng(seed))


def _pair(stage: str, *, seed: int = 3) -> tuple[RenderedWord, RenderedWord]:
    """Render the same word with one stage always on, and without any."""
    return (
        _render(_renderer(*BARE, f"{stage}.probability=1"), "Kayak", seed),
        _render(_renderer(*BARE), "Kayak", seed),
    )


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=32),
       st.integers(0, 2**32))  # fmt: skip
def test_any_ascii_text_gives_a_picture_and_a_quad_per_character(text: str, seed: int) -> None:
    word = _render(_renderer(PACKAGED), text, seed)
    assert word.pixels.shape[0] == 32
    assert 8 <= word.pixels.shape[1] <= 24 * 32
    assert word.char_quads.shape == (len(text), 4, 2)
    assert np.isfinite(word.char_quads).all()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    renderer = _renderer(PACKAGED)
    first = [_render(renderer, "Kayak", seed).pixels.tobytes() for seed in range(20)]
    fresh = WordRenderer(renderer.config)
    again = [_render(fresh, "Kayak", seed).pixels.tobytes() for seed in reversed(range(20))]
    assert first == again[::-1]
    assert len(set(first)) == 20


def test_quads_hold_the_ink_of_their_characters() -> None:
    renderer = _renderer(*BARE, "curve.probability=0.5", "distortion.probability=1")
    for seed in range(40):
        word = _render(renderer, "HOME", seed)
        grey = word.pixels.astype(int).sum(axis=2)
        is_inside = np.zeros(grey.shape, np.uint8)
        cv2.fillPoly(is_inside, list(word.char_quads.round().astype(np.int32)), 1)
        is_inside = cv2.dilate(is_inside, np.ones((3, 3), np.uint8))
        paper = np.median(grey[is_inside == 0]) if (is_inside == 0).any() else grey[0, 0]
        is_ink = abs(grey - paper) > 40
        assert is_ink[is_inside == 0].mean() < 0.02, seed
        assert is_ink[is_inside == 1].mean() > 0.08, seed


def test_quads_go_from_left_to_right_and_clockwise() -> None:
    quads = _render(_renderer(*BARE), "abc def").char_quads
    assert (np.diff(quads[:, 0, 0]) > 0).all()
    assert (quads[:, 1, 0] > quads[:, 0, 0]).all()
    assert (quads[:, 2, 1] > quads[:, 1, 1]).all()


def test_a_curved_baseline_lifts_the_middle_or_the_ends() -> None:
    curved, straight = _pair("curve")
    middles = curved.char_quads.mean(axis=1)[:, 1]
    assert abs(middles[2] - middles[[0, -1]].mean()) > 2
    assert np.ptp(straight.char_quads[:, 3, 1]) < 12


def test_tracking_widens_words() -> None:
    tracked = [
        _render(_renderer(*BARE, "tracking.probability=1"), "Kayak", n).pixels.shape[1]
        for n in range(150)
    ]
    plain = [_render(_renderer(*BARE), "Kayak", n).pixels.shape[1] for n in range(150)]
    assert np.mean(tracked) > np.mean(plain) + 5


@pytest.mark.parametrize(
    "stage", ["weight", "border", "shadow", "distortion", "surface", "clutter", "degrade.noise",
              "degrade.blur", "degrade.resolution", "degrade.jpeg"]
)  # fmt: skip
def test_each_stage_changes_the_picture(stage: str) -> None:
    changed = [_pair(stage, seed=seed) for seed in range(5)]
    assert sum(a.pixels.tobytes() != b.pixels.tobytes() for a, b in changed) >= 3


def test_ink_and_paper_differ() -> None:
    for seed in range(50):
        pixels = _render(_renderer(*BARE), "HHHH", seed).pixels
        low, high = np.percentile(pixels.reshape(-1, 3), [5, 95], axis=0)
        assert (high - low).mean() > 12


def test_hairlines_do_not_get_thinner() -> None:
    faces = {face.path.stem: face for face in load_fonts(FontsConfig(system=False)).faces}
    hairlines = set_text(faces["Roboto-Thin"], "36502", margin=10).mask
    strokes = set_text(faces["Roboto-Bold"], "36502", margin=10).mask
    assert (change_weight(hairlines, -0.8) == hairlines).all()
    assert change_weight(strokes, -0.8).sum() < 0.8 * strokes.sum()


def test_printed_dots_stand_apart_where_the_letters_are() -> None:
    faces = {face.path.stem: face for face in load_fonts(FontsConfig(system=False)).faces}
    ink = set_text(faces["Roboto-Bold"], "36502", margin=10).mask
    dots = print_dots(ink, 4, 0.4)
    assert dots.shape == ink.shape
    num_dots = cv2.connectedComponents((dots > 200).astype(np.uint8))[0] - 1
    assert num_dots > 100  # a digit has some 35
    near = cv2.dilate(ink, np.ones((9, 9), np.uint8))
    assert not dots[near == 0].any()


def test_hairlines_are_not_lost_between_dots() -> None:
    faces = {face.path.stem: face for face in load_fonts(FontsConfig(system=False)).faces}
    hairlines = set_text(faces["Roboto-Thin"], "36502", margin=10).mask
    assert print_dots(hairlines, 5, 0.4).mean() > 0.5 * hairlines.mean()


def test_dots_have_a_range_in_order() -> None:
    with pytest.raises(ConfigError, match="finest is 6, above coarsest"):
        _renderer("dots.finest=6")


def test_photographs_are_blended_in(tmp_path: Path) -> None:
    stripes = np.zeros((64, 640, 3), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    (tmp_path / "notes.txt").write_text("no picture")
    photos = f"surface.photos={tmp_path}"
    renderer = _renderer(*BARE, "surface.probability=1", "surface.strength=1", photos)
    plain = _renderer(*BARE)
    rough = [_roughness(_render(renderer, "Kayak", seed)) for seed in range(20)]
    smooth = [_roughness(_render(plain, "Kayak", seed)) for seed in range(20)]
    assert np.mean(rough) > np.mean(smooth) + 5


def _roughness(word: RenderedWord) -> float:
    return float(np.abs(np.diff(word.pixels.astype(int), axis=1)).mean())


def test_a_folder_without_photographs_is_an_error(tmp_path: Path) -> None:
    renderer = _renderer(*BARE, "surface.probability=1", f"surface.photos={tmp_path}")
    with pytest.raises(ConfigError, match="no picture could be read"):
        _render(renderer, "Kayak")


def test_a_text_that_no_font_has_is_an_error_that_names_it() -> None:
    with pytest.raises(DatasetError, match="characters of '漢'"):
        _render(_renderer(PACKAGED), "漢")


def test_pictures_of_another_height_keep_their_aspect() -> None:
    low = _render(_renderer(*BARE), "Kayak").pixels.shape
    high = _render(_renderer(*BARE, "height=64"), "Kayak").pixels.shape
    assert high[0] == 64
    assert high[1] == pytest.approx(2 * low[1], abs=2)


def test_a_seed_gives_the_pictures_that_it_gave_before() -> None:
    """What a seed gives is part of every run's record: a change belongs in the changelog."""
    words = [_render(_renderer(PACKAGED), "Golden", seed).pixels for seed in range(6)]
    assert [pixels.shape[1] for pixels in words] == [200, 98, 112, 115, 121, 115]
    assert [pixels.mean() for pixels in words] == pytest.approx(
        [110.7, 45.6, 101.8, 160.5, 40.8, 75.5], abs=1
    )
