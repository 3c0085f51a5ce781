import io

import numpy as np
import pytest
from PIL import Image

from ocr_model.visualize.attention import draw_attention, draw_frames
from ocr_model.visualize.charts import draw_curves, draw_label_statistics, draw_progress
from ocr_model.visualize.overlays import overlay_heatmap, overlay_quads
from ocr_model.visualize.words import draw_contact_sheet, draw_samples, draw_versions

IMAGE = np.full((32, 128, 3), 200, np.uint8)


def _size(png: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        image.load()
        return image.size


def _entry(epoch: int, **others: float) -> dict[str, float]:
    return {"epoch": float(epoch), "train/loss": 2.0, "validation/loss": 1.5, **others}


def test_curves_fill_a_picture_of_twelve_by_seven_inches() -> None:
    history = [_entry(0, **{"validation/cer": 0.4}), _entry(1, **{"validation/cer": 0.2})]
    assert _size(draw_curves(history)) == (1320, 770)


@pytest.mark.parametrize("seconds", [1.5, 20_000.0])
def test_progress_of_short_and_long_runs_fills_a_low_picture(seconds: float) -> None:
    marks = [(seconds * i, 3 * i) for i in range(1, 100)]
    assert _size(draw_progress(marks, "images per second")) == (1320, 352)


def test_curves_of_a_run_without_epochs_are_drawn_empty() -> None:
    assert _size(draw_curves([])) == (1320, 770)


def test_curves_that_some_epochs_lack_are_left_out() -> None:
    assert draw_curves([_entry(0)]) == draw_curves([_entry(0, unknown=3.0)])


@pytest.mark.parametrize(("num_samples", "num_rows"), [(0, 1), (1, 1), (4, 1), (5, 2)])
def test_a_sample_sheet_grows_by_rows(num_samples: int, num_rows: int) -> None:
    texts, confidences = ["word"] * num_samples, [0.5] * num_samples
    width, height = _size(draw_samples([IMAGE] * num_samples, texts, texts, confidences))
    assert width == 1364
    assert height == pytest.approx(110 * 1.15 * num_rows, abs=2)


@pytest.mark.parametrize(
    ("truth", "reading"),
    [("$5", "$5"), ("$a_b$", "$^$"), (r"\$x", "$$"), ("word", ""), ("", "")],
)
def test_any_text_can_be_a_title(truth: str, reading: str) -> None:
    assert _size(draw_samples([IMAGE], [truth], [reading], [1.0]))[0] == 1364


def test_a_wrong_reading_looks_different_from_a_right_one() -> None:
    right = draw_samples([IMAGE], ["word"], ["word"], [0.9])
    wrong = draw_samples([IMAGE], ["ward"], ["word"], [0.9])
    assert right != wrong


def test_a_sheet_of_versions_has_a_row_per_word_and_takes_any_label() -> None:
    original = np.zeros((20, 90, 3), np.uint8)
    labels = ["$5", "", "漢", "a_" * 20]
    images = [[original, IMAGE, IMAGE], [original, IMAGE, IMAGE], [], [original, IMAGE, IMAGE]]
    errors, titles = ["", "", "truncated: why", ""], ["original", "first", "second"]
    width, height = _size(draw_versions(labels, images, errors=errors, titles=titles))
    assert width == pytest.approx(110 * (1.5 + 3 * 2.2), abs=2)
    assert height == pytest.approx(110 * (0.3 + 4 * 0.75), abs=2)


@pytest.mark.parametrize(("num_samples", "num_rows"), [(1, 1), (8, 1), (9, 2)])
def test_a_contact_sheet_holds_pictures_of_any_sizes(num_samples: int, num_rows: int) -> None:
    images = [np.full((20 + i, 300 - 30 * i, 3), 9 * i, np.uint8) for i in range(num_samples)]
    png = draw_contact_sheet(images, ["$漢\n" * 20] * num_samples, [None] * num_samples)
    width, height = _size(png)
    assert width == 1408
    assert height == pytest.approx(110 * 0.75 * num_rows, abs=2)


def test_character_outlines_are_drawn_into_the_picture_that_has_them() -> None:
    quads = np.array([[[5, 5], [60, 5], [60, 25], [5, 25]]], np.float32)
    assert draw_contact_sheet([IMAGE], ["a"], [quads]) != draw_contact_sheet([IMAGE], ["a"], [None])


@pytest.mark.parametrize("characters", [{"a": 1}, {chr(0x4E00 + i): i + 1 for i in range(500)}])
def test_label_statistics_fit_any_alphabet(characters: dict[str, int]) -> None:
    part = {"seen": 9, "kept": 5, "dropped": {"empty": 4}, "characters": characters}
    subsets = {"train": {**part, "lengths": {"1": 2, "25": 3}}}
    assert _size(draw_label_statistics(subsets)) == (1320, 770)


@pytest.mark.parametrize(("text", "num_rows"), [("", 1), ("a", 2), ("$b$", 2), ("abcd", 3)])
def test_attention_has_a_panel_per_character(text: str, num_rows: int) -> None:
    maps = np.random.default_rng(0).random((len(text), 2, 32))
    width, height = _size(draw_attention(IMAGE, text, maps))
    assert width == pytest.approx(110 * 3.4 * 3, abs=2)
    assert height == pytest.approx(110 * 1.25 * num_rows, abs=2)


def test_a_heatmap_colours_the_image_where_its_weight_is_and_only_there() -> None:
    heat = np.zeros((1, 4))
    heat[0, 3] = 1.0
    overlay = overlay_heatmap(IMAGE, heat).astype(int)
    assert overlay.shape == IMAGE.shape
    is_grey = overlay.max(-1) == overlay.min(-1)
    assert not is_grey[:, 112:].any()
    np.testing.assert_array_equal(overlay[:, :48] - overlay[0, 0], 0)


def test_a_heatmap_without_weight_is_the_same_everywhere() -> None:
    overlay = overlay_heatmap(IMAGE, np.zeros((2, 4)))
    assert (overlay == overlay[0, 0]).all()


def test_the_scale_of_a_heatmap_does_not_matter() -> None:
    heat = np.random.default_rng(0).random((2, 8))
    np.testing.assert_array_equal(overlay_heatmap(IMAGE, heat), overlay_heatmap(IMAGE, heat * 0.5))


def test_a_heatmap_of_a_given_scale_is_as_bright_as_its_values() -> None:
    faint = overlay_heatmap(IMAGE, np.full((2, 4), 0.1), full=1.0).astype(int)
    strong = overlay_heatmap(IMAGE, np.full((2, 4), 0.9), full=1.0).astype(int)
    assert np.ptp(faint, axis=-1).max() < np.ptp(strong, axis=-1).min()


@pytest.mark.parametrize("names", [["blank"], ["$", "漢", "a", "blank"]])
def test_frames_are_drawn_with_a_row_per_class(names: list[str]) -> None:
    frames = np.random.default_rng(0).random((16, len(names)))
    width, height = _size(draw_frames(IMAGE, frames, names, columns_used=15.5))
    assert width == 880
    assert height == pytest.approx(110 * (1.6 + 0.24 * len(names)), abs=2)


def test_quads_are_drawn_over_a_copy_of_the_image() -> None:
    quad = np.array([[[10, 5], [60, 5], [60, 25], [10, 25]]], np.float32)
    drawn = overlay_quads(IMAGE, quad, colour=(0, 255, 0))
    assert (IMAGE == 200).all()
    assert drawn[5, 30].tolist() == [0, 255, 0]
    assert drawn[15, 30].tolist() == [200, 200, 200]
    assert (overlay_quads(IMAGE, quad[:0]) == IMAGE).all()
