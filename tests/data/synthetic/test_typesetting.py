from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from ocr_model.data.synthetic.fonts import EM_PIXELS, Face
from ocr_model.data.synthetic.typesetting import Style, scaled_glyph, x_height

SANS = Face(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


@pytest.mark.parametrize("size", [9, 14.5, 48, 70])
@pytest.mark.parametrize("phase", [0, 3])
def test_scaling_keeps_all_of_the_ink(size: float, phase: int) -> None:
    scaled = scaled_glyph(SANS, "g", size, 0.8, 0.0, phase)
    ink = SANS.glyph("g").mask.sum() / 255 * (size / EM_PIXELS) ** 2 * 0.8
    assert scaled.mask.sum() / 255 == pytest.approx(ink, rel=0.02)


def test_a_phase_moves_the_ink_by_quarters_of_a_pixel() -> None:
    centres = []
    for phase in range(4):
        glyph = scaled_glyph(SANS, "o", 13, 1.0, 0.0, phase)
        columns = glyph.mask.sum(axis=0) @ (np.arange(glyph.mask.shape[1]) + 0.5)
        centres.append(glyph.left + columns / glyph.mask.sum())
    assert np.diff(centres) == pytest.approx(0.25, abs=0.02)


def test_weight_adds_and_takes_ink() -> None:
    thin, plain, thick = (
        int(scaled_glyph(SANS, "o", 20, 1.0, weight, 0).mask.sum()) for weight in (-0.8, 0.0, 0.8)
    )
    assert thin < plain < thick


def test_a_word_ends_where_its_width_says() -> None:
    style = Style(SANS, 15, stretch=0.9)
    word = style.set("AVATAR", 3.25, 30)
    assert word.end - 3.25 == pytest.approx(style.width("AVATAR"), abs=0.01)
    assert len(word.glyphs) == len(word.char_boxes) == 6
    assert (np.diff(word.char_boxes[:, 0]) > 0).all()


def test_letters_stand_on_the_baseline_as_high_as_their_face_has_them() -> None:
    word = Style(SANS, 32).set("x", 0, 100)
    assert word.char_boxes[0, 3] == pytest.approx(100, abs=0.7)
    assert np.ptp(word.char_boxes[0, [1, 3]]) == pytest.approx(32 * x_height(SANS), abs=0.7)
