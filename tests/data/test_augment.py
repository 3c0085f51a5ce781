import numpy as np
import pytest

from ocr_model.data.augment import AugmentConfig, augment
from ocr_model.image import ImageGeometry, Pixels, fit_image

NONE = AugmentConfig(
    rotation_degrees=0, shear_degrees=0, perspective=0, contrast=0, brightness=0, blur=0, noise=0
)
GEOMETRY = ImageGeometry(height=16, width=48)


@pytest.fixture
def pixels() -> Pixels:
    word = np.full((20, 60, 3), 220, np.uint8)
    word[5:15, 10:50] = (40, 60, 20)
    return word


def test_the_generator_decides_everything(pixels: Pixels) -> None:
    config = AugmentConfig()
    first, width = augment(pixels, GEOMETRY, config, np.random.default_rng(3))
    again, _ = augment(pixels, GEOMETRY, config, np.random.default_rng(3))
    other, _ = augment(pixels, GEOMETRY, config, np.random.default_rng(4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.shape == (16, 48, 3)
    assert first.dtype == np.uint8
    assert width == 48


def test_without_any_amount_an_image_is_only_fitted(pixels: Pixels) -> None:
    plain, _ = augment(pixels, GEOMETRY, NONE, np.random.default_rng(0))
    np.testing.assert_array_equal(plain, fit_image(pixels, GEOMETRY)[0])


@pytest.mark.parametrize(
    ("name", "amount"),
    [
        ("rotation_degrees", 10.0),
        ("shear_degrees", 20.0),
        ("perspective", 0.2),
        ("contrast", 0.5),
        ("brightness", 40.0),
        ("blur", 2.0),
        ("noise", 20.0),
    ],
)
def test_each_amount_alone_changes_an_image(pixels: Pixels, name: str, amount: float) -> None:
    config = NONE.replace(**{name: amount})
    changed, _ = augment(pixels, GEOMETRY, config, np.random.default_rng(1))
    assert (changed != fit_image(pixels, GEOMETRY)[0]).any()


def test_the_given_pixels_stay_as_they_are(pixels: Pixels) -> None:
    before = pixels.copy()
    augment(pixels, GEOMETRY, AugmentConfig(), np.random.default_rng(0))
    np.testing.assert_array_equal(pixels, before)


def test_padding_is_not_drawn_into(pixels: Pixels) -> None:
    geometry = ImageGeometry(height=16, width=96, fit="pad")
    config = NONE.replace(rotation_degrees=10.0, shear_degrees=20.0, perspective=0.2)
    for seed in range(5):
        padded, width = augment(pixels, geometry, config, np.random.default_rng(seed))
        assert width == fit_image(pixels, geometry)[1] == 48
        assert (padded[:, width:] == 127).all()


def test_a_long_word_is_turned_less_than_a_short_one() -> None:
    config = NONE.replace(rotation_degrees=30.0)
    geometry = ImageGeometry(height=16, width=320)
    line = np.full((16, 320, 3), 255, np.uint8)
    line[7:9] = 0
    for seed in range(10):
        turned, _ = augment(line, geometry, config, np.random.default_rng(seed))
        assert turned[:, 0].min() < 128  # the ends of the line are still in the picture
        assert turned[:, -1].min() < 128


def test_a_single_column_survives() -> None:
    geometry = ImageGeometry(height=16, width=48, fit="pad")
    distorted, width = augment(
        np.zeros((200, 1, 3), np.uint8), geometry, AugmentConfig(), np.random.default_rng(0)
    )
    assert distorted.shape == (16, 48, 3)
    assert width == 1
