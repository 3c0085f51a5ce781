from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.data.augment import AugmentConfig, augment
from ocr_model.image import ImageGeometry, ModelInput, Pixels, content_columns, fit_image

Augmented = Callable[..., ModelInput]
NONE = AugmentConfig(strength=0).scaled
GEOMETRY = ImageGeometry(height=32, width=128)
PADDED = ImageGeometry(height=32, width=128, fit="pad")


@pytest.mark.parametrize("shape", [(32, 128), (20, 60), (45, 170), (64, 300), (200, 90), (7, 9)])
@pytest.mark.parametrize("geometry", [GEOMETRY, PADDED])
def test_without_strength_an_image_is_only_fitted(
    word: Pixels, shape: tuple[int, int], geometry: ImageGeometry
) -> None:
    pixels = cv2.resize(word, shape[::-1])
    fitted, width = augment(pixels, geometry, AugmentConfig(strength=0), np.random.default_rng(0))
    expected, expected_width = fit_image(pixels, geometry)
    assert width == expected_width
    np.testing.assert_allclose(fitted.astype(int), expected.astype(int), atol=1)


def test_geometry_of_next_to_nothing_hits_the_same_pixels_as_fitting(
    word: Pixels, augmented: Augmented
) -> None:
    smooth = cv2.GaussianBlur(cv2.resize(word, (100, 28)), (0, 0), 2)
    warped = augmented(smooth, rotation_degrees=1e-6)
    np.testing.assert_allclose(warped.astype(int), fit_image(smooth, GEOMETRY)[0], atol=2)


def _line(image: np.ndarray) -> tuple[float, float]:
    """Return slope and height in the middle of the one dark line in an image."""
    rows, columns = np.nonzero(image[..., 0] < 100)
    slope, start = np.polyfit(columns, rows, 1)
    return float(slope), float(start + slope * image.shape[1] / 2)


def test_rotation_turns_a_line_by_at_most_its_degrees(augmented: Augmented) -> None:
    line = np.full((32, 128, 3), 255, np.uint8)
    line[15:17, 4:-4] = 0
    slopes = [_line(augmented(line, seed, rotation_degrees=4))[0] for seed in range(30)]
    assert max(np.abs(slopes)) <= np.tan(np.radians(4))
    assert min(slopes) < -0.03
    assert max(slopes) > 0.03


def test_a_long_word_is_turned_less_than_a_short_one(augmented: Augmented) -> None:
    line = np.full((16, 320, 3), 255, np.uint8)
    line[7:9] = 0
    for seed in range(8):
        turned = augmented(line, seed, height=16, width=320, rotation_degrees=30)
        assert turned[:, 0].min() < 128  # the ends of the line are still in the picture
        assert turned[:, -1].min() < 128


def test_shear_slants_a_stroke_and_leaves_lines_level(augmented: Augmented) -> None:
    stroke, line = (np.full((32, 128, 3), 255, np.uint8) for _ in range(2))
    stroke[:, 60:68] = 0
    line[15:17] = 0
    tops = []
    for seed in range(20):
        slanted = augmented(stroke, seed, shear_degrees=20)[..., 0] < 128
        tops.append(np.nonzero(slanted[0])[0].mean() - np.nonzero(slanted[-1])[0].mean())
        assert abs(_line(augmented(line, seed, shear_degrees=20))[0]) < 0.005
    assert 6 < max(tops) <= 32 * np.tan(np.radians(20))
    assert min(tops) < -6


def test_perspective_makes_one_end_higher_than_the_other(augmented: Augmented) -> None:
    band = np.full((32, 128, 3), 255, np.uint8)
    band[4:28] = 0
    ratios = []
    for seed in range(20):
        heights = (augmented(band, seed, perspective=0.1)[..., 0] < 128).sum(0)
        ratios.append(heights[-1] / heights[0])
    assert max(ratios) > 1.15
    assert min(ratios) < 0.85


@settings(deadline=None, database=None, max_examples=60)
@given(
    st.integers(0, 2**32),
    st.floats(0, 3),
    st.sampled_from([(32, 100), (16, 200), (64, 64), (40, 300), (48, 20)]),
    st.sampled_from([GEOMETRY, PADDED, ImageGeometry(height=24, width=320)]),
)
def test_however_it_is_moved_no_corner_of_a_word_is_cut_off(
    seed: int, strength: float, shape: tuple[int, int], geometry: ImageGeometry
) -> None:
    pixels = np.full((*shape, 3), 255, np.uint8)
    height, width = shape[0] // 3, shape[1] // 4
    for corner in (np.s_[:height, :width], np.s_[-height:, :width],
                   np.s_[:height, -width:], np.s_[-height:, -width:]):  # fmt: skip
        pixels[corner] = 0
    config = NONE.replace(rotation_degrees=8, shear_degrees=15, perspective=0.06, strength=strength)
    moved, columns = augment(pixels, geometry, config, np.random.default_rng(seed))
    num_labels, _ = cv2.connectedComponents((moved[:, :columns, 0] < 140).astype(np.uint8))
    assert num_labels - 1 == 4


@settings(deadline=None, database=None, max_examples=80)
@given(
    st.integers(1, 90),
    st.integers(1, 700),
    st.sampled_from([GEOMETRY, PADDED, ImageGeometry(height=64, width=40, fit="pad")]),
    st.floats(0, 4),
    st.integers(0, 2**32),
)
def test_any_image_at_any_strength_gives_the_wanted_shape_and_clean_padding(
    height: int, width: int, geometry: ImageGeometry, strength: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    certain = {name: 1.0 for name in AugmentConfig.model_fields if name.endswith("_probability")}
    config = AugmentConfig(strength=strength, **certain)
    image, columns = augment(pixels, geometry, config, rng)
    assert image.shape == (geometry.height, geometry.width, 3)
    assert image.dtype == np.uint8
    assert columns == content_columns(height, width, geometry)
    assert (image[:, columns:] == 127).all()


@pytest.mark.parametrize("shape", [(1, 1), (3000, 4000), (10, 9000), (2000, 1)])
def test_the_smallest_and_the_largest_images_survive(shape: tuple[int, int]) -> None:
    pixels = np.full((*shape, 3), 90, np.uint8)
    geometry = NONE.replace(rotation_degrees=4, shear_degrees=8, perspective=0.06)
    for config in (geometry, AugmentConfig()):
        image, _ = augment(pixels, PADDED, config, np.random.default_rng(0))
        assert image.shape == (32, 128, 3)
    plain, columns = augment(pixels, PADDED, geometry, np.random.default_rng(0))
    assert (plain[:, :columns] == 90).all()


def test_a_large_image_is_averaged_and_not_sampled(augmented: Augmented) -> None:
    chequered = (np.indices((320, 1280)).sum(0) % 2 * 255).astype(np.uint8)
    pixels = np.repeat(chequered[..., None], 3, 2)
    shrunk = augmented(pixels, rotation_degrees=4)
    assert np.ptp(shrunk) <= 4  # one grey: a sampled chequerboard would show waves
    assert abs(shrunk.mean() - 127) < 2
