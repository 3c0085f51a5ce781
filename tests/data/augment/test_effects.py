import pickle
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from ocr_model.data.augment import AugmentConfig, augment
from ocr_model.image import ImageGeometry, ModelInput, Pixels

Augmented = Callable[..., ModelInput]
GEOMETRY = ImageGeometry(height=32, width=128)
SEEDS = range(8)


def _mean(image: np.ndarray) -> float:
    return float(image.mean())


def _contrast(image: np.ndarray) -> float:
    return float(np.percentile(image, 95)) - float(np.percentile(image, 5))


def _sharpness(image: np.ndarray) -> float:
    return float(cv2.Laplacian(image, cv2.CV_64F).std())


def test_the_generator_decides_everything(word: Pixels) -> None:
    config = AugmentConfig()
    first, width = augment(word, GEOMETRY, config, np.random.default_rng(3))
    again, _ = augment(word, GEOMETRY, AugmentConfig(), np.random.default_rng(3))
    other, _ = augment(word, GEOMETRY, config, np.random.default_rng(4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert width == 128


def test_the_given_pixels_stay_as_they_are(word: Pixels) -> None:
    pixels = word
    pixels.flags.writeable = False  # as Pillow gives them
    for seed in SEEDS:
        augment(
            pixels,
            GEOMETRY,
            AugmentConfig(erasing_probability=1, jpeg_probability=1, strength=seed / 4),
            np.random.default_rng(seed),
        )


def test_contrast_changes_differences_and_keeps_the_mean(
    word: Pixels, augmented: Augmented
) -> None:
    changed = [augmented(word, seed, contrast=0.3) for seed in SEEDS]
    assert np.ptp([_contrast(image) for image in changed]) > 40
    assert all(abs(_mean(image) - _mean(word)) < 1 for image in changed)


def test_brightness_changes_the_mean_and_keeps_differences(
    word: Pixels, augmented: Augmented
) -> None:
    changed = [augmented(word, seed, brightness=30) for seed in SEEDS]
    means = np.array([_mean(image) for image in changed]) - _mean(word)
    assert np.abs(means).max() <= 30
    assert np.ptp(means) > 20
    assert all(abs(_contrast(image) - _contrast(word)) <= 1 for image in changed)


@pytest.mark.parametrize(("paper", "ink"), [(30, 12), (243, 225)])
def test_dark_and_bright_pictures_stay_readable(
    word: Pixels, augmented: Augmented, paper: int, ink: int
) -> None:
    pixels = np.where(word > 100, paper, ink).astype(np.uint8)
    for seed in range(30):
        changed = augmented(pixels, seed, contrast=0.3, brightness=60)
        assert _contrast(changed) > 6


def test_gamma_moves_the_middle_and_keeps_black_and_white(augmented: Augmented) -> None:
    steps = np.repeat(np.array([0, 128, 255], np.uint8), 20)[None, :, None].repeat(3, 2)
    steps = steps.repeat(20, 0)
    middles = []
    for seed in SEEDS:
        bent = augmented(steps, seed, height=20, width=60, gamma=0.5)
        assert (bent[:, :20] == 0).all()
        assert (bent[:, 40:] == 255).all()
        middles.append(int(bent[10, 30, 0]))
    assert min(middles) < 115
    assert max(middles) > 140


@pytest.mark.parametrize(("name", "amount"), [("saturation", 0.5), ("hue_degrees", 30.0)])
def test_colours_change_and_grey_does_not(augmented: Augmented, name: str, amount: float) -> None:
    orange = np.full((32, 128, 3), (180, 90, 60), np.uint8)
    grey = np.full((32, 128, 3), 110, np.uint8)
    colours = []
    for seed in range(20):
        red, green, blue = augmented(orange, seed, **{name: amount})[0, 0].astype(int)
        assert abs((red + green + blue) / 3 - 110) <= 1
        assert red > max(green, blue)  # orange it stays
        colours.append((red - (green + blue) / 2, green - blue))
        assert (augmented(grey, seed, **{name: amount}) == 110).all()
    strengths, hues = np.array(colours).T
    assert np.ptp(strengths) > (60 if name == "saturation" else 0)
    assert np.ptp(hues) > (0 if name == "saturation" else 60)


def test_inversion_gives_the_negative_of_its_share_of_images(
    word: Pixels, augmented: Augmented
) -> None:
    np.testing.assert_array_equal(augmented(word, inversion_probability=1), 255 - word)
    is_negative = [_mean(augmented(word, s, inversion_probability=0.3)) < 100 for s in range(60)]
    assert 8 < sum(is_negative) < 30


@pytest.mark.parametrize(("name", "amount"), [("blur", 2.0), ("motion_blur", 6.0)])
def test_blur_softens_and_keeps_the_mean(
    word: Pixels, augmented: Augmented, name: str, amount: float
) -> None:
    blurred = [augmented(word, seed, **{name: amount, f"{name}_probability": 1}) for seed in SEEDS]
    assert min(_sharpness(image) for image in blurred) < 0.6 * _sharpness(word)
    assert all(_sharpness(image) <= _sharpness(word) for image in blurred)
    assert all(abs(_mean(image) - _mean(word)) < 1.5 for image in blurred)


def test_blur_is_in_pixels_of_the_input_whatever_the_size_of_the_source(
    augmented: Augmented,
) -> None:
    step = np.zeros((32, 128, 3), np.uint8)
    step[:, 64:] = 255
    half = cv2.resize(step, (64, 16), interpolation=cv2.INTER_NEAREST)
    widths = []
    for seed in SEEDS:
        rows = [augmented(s, seed, blur=3.0, blur_probability=1)[16, :, 0] for s in (step, half)]
        widths.append([int(((row > 40) & (row < 215)).sum()) for row in rows])
    assert max(width for width, _ in widths) >= 4
    assert all(abs(width - of_half) <= 2 for width, of_half in widths)  # scaling up adds one, two


def test_motion_blur_is_in_one_direction(augmented: Augmented) -> None:
    point = np.zeros((32, 128, 3), np.uint8)
    point[15:17, 63:65] = 255
    for seed in range(30):
        streak = augmented(point, seed, motion_blur=12, motion_blur_probability=1)[..., 0]
        rows, columns = np.nonzero(streak > 8)
        spread = np.linalg.eigvalsh(np.cov(rows, columns))
        if len(rows) > 12:  # long enough to have a direction
            assert spread[1] > 3 * spread[0]


def test_noise_has_its_deviation_and_no_mean(augmented: Augmented) -> None:
    grey = np.full((32, 128, 3), 128, np.uint8)
    deviations = []
    for seed in range(20):
        noise = augmented(grey, seed, noise=20, noise_probability=1).astype(int) - 128
        assert abs(noise.mean()) < 1.5
        deviations.append(noise.std())
    assert 14 < max(deviations) < 21
    assert min(deviations) < 6


def test_resolution_loss_removes_detail_and_keeps_shape(augmented: Augmented) -> None:
    detail = np.random.default_rng(0).integers(0, 256, (32, 128, 3), np.uint8)
    for seed in SEEDS:
        coarse = augmented(detail, seed, resolution_loss=0.6, resolution_loss_probability=1)
        assert coarse.shape == (32, 128, 3)
        assert coarse.std() < detail.std()
        assert _sharpness(coarse) < 0.8 * _sharpness(detail)


def test_encoding_again_changes_little_and_keeps_colours_in_their_channels(
    word: Pixels, augmented: Augmented
) -> None:
    coloured = word
    coloured[..., 0] = 220
    for seed in SEEDS:
        encoded = augmented(coloured, seed, jpeg=80, jpeg_probability=1).astype(int)
        assert 0 < np.abs(encoded - coloured).mean() < 12
        assert encoded[..., 0].mean() > 200


def test_erasing_hides_a_few_small_patches(augmented: Augmented) -> None:
    word = np.random.default_rng(0).integers(0, 256, (32, 128, 3), np.uint8)
    shares = []
    for seed in range(30):
        is_changed = (augmented(word, seed, erasing=0.25, erasing_probability=1) != word).any(2)
        num_patches, _ = cv2.connectedComponents(is_changed.astype(np.uint8))
        assert num_patches - 1 <= 3
        shares.append(is_changed.sum() / 8**2)
    assert max(shares) <= 3
    assert np.mean(shares) > 0.2


def test_an_effect_is_drawn_for_its_share_of_images(word: Pixels, augmented: Augmented) -> None:
    is_noisy = [
        bool((augmented(word, s, noise=20, noise_probability=0.25) != word).any())
        for s in range(100)
    ]
    assert 12 < sum(is_noisy) < 40


def test_one_effect_does_not_change_what_the_others_draw(
    word: Pixels, augmented: Augmented
) -> None:
    for seed in SEEDS:
        moved = augmented(word, seed, rotation_degrees=4)
        also = {"blur_probability": 1, "noise_probability": 1, "jpeg_probability": 1}
        np.testing.assert_array_equal(augmented(word, seed, rotation_degrees=4, **also), moved)
        erased = augmented(word, seed, rotation_degrees=4, erasing=0.2, erasing_probability=1)
        assert (erased == moved).all(2).mean() > 0.9
        negative = augmented(word, seed, rotation_degrees=4, inversion_probability=1)
        np.testing.assert_allclose(255 - negative.astype(int), moved, atol=1)


def test_strength_scales_every_amount_as_far_as_it_goes() -> None:
    config = AugmentConfig(strength=2, contrast=0.3, perspective=0.15, rotation_degrees=5)
    assert config.scaled.contrast == 0.6
    assert config.scaled.perspective == 0.2
    assert config.scaled.rotation_degrees == 10
    assert config.scaled.blur_probability == config.blur_probability
    assert config.scaled.strength == 1


def test_more_strength_changes_more(word: Pixels) -> None:
    def change(strength: float) -> float:
        plain, config = word.astype(int), AugmentConfig(strength=strength)
        images = [augment(word, GEOMETRY, config, np.random.default_rng(s))[0] for s in SEEDS]
        return float(np.mean([np.abs(image - plain).mean() for image in images]))

    assert 0 < change(0.2) < change(0.6) < change(1.5)


def test_settings_are_the_same_after_use_and_after_a_journey(word: Pixels) -> None:
    used, fresh = AugmentConfig(strength=0.5), AugmentConfig(strength=0.5)
    augment(word, GEOMETRY, used, np.random.default_rng(0))
    assert used == fresh
    assert used.to_yaml() == fresh.to_yaml()
    sent = pickle.loads(pickle.dumps(used))  # noqa: S301  # as Ray sends it
    assert sent == fresh
    assert used.replace(strength=2).scaled.contrast == 4 * used.scaled.contrast == 0.6


def test_an_amount_that_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"perspective is 0\.5, at most 0\.2"):
        AugmentConfig(perspective=0.5)
