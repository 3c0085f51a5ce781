import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ocr_model.data.augment import AugmentConfig, augment
from ocr_model.image import ImageGeometry, ModelInput, Pixels, content_columns, fit_image

NONE = AugmentConfig(strength=0).scaled
GEOMETRY = ImageGeometry(height=32, width=128)
PADDED = ImageGeometry(height=32, width=128, fit="pad")
SEEDS = range(8)


def _word() -> Pixels:
    """Return four dark strokes on light paper, of the geometry's size."""
    word = np.full((32, 128, 3), 200, np.uint8)
    for left in (20, 45, 70, 95):
        word[8:24, left : left + 8] = (60, 40, 50)
    return word


def _augmented(
    pixels: Pixels, seed: int = 0, geometry: ImageGeometry = GEOMETRY, **amounts: float
) -> ModelInput:
    """Return an image with only the given effects."""
    config = NONE.replace(**amounts)
    return augment(pixels, geometry, config, np.random.default_rng(seed))[0]


def _mean(image: np.ndarray) -> float:
    return float(image.mean())


def _contrast(image: np.ndarray) -> float:
    return float(np.percentile(image, 95)) - float(np.percentile(image, 5))


def _sharpness(image: np.ndarray) -> float:
    return float(cv2.Laplacian(image, cv2.CV_64F).std())


def test_the_generator_decides_everything() -> None:
    config = AugmentConfig()
    first, width = augment(_word(), GEOMETRY, config, np.random.default_rng(3))
    again, _ = augment(_word(), GEOMETRY, AugmentConfig(), np.random.default_rng(3))
    other, _ = augment(_word(), GEOMETRY, config, np.random.default_rng(4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert width == 128


@pytest.mark.parametrize("shape", [(32, 128), (20, 60), (45, 170), (64, 300), (200, 90), (7, 9)])
@pytest.mark.parametrize("geometry", [GEOMETRY, PADDED])
def test_without_strength_an_image_is_only_fitted(
    shape: tuple[int, int], geometry: ImageGeometry
) -> None:
    pixels = cv2.resize(_word(), shape[::-1])
    fitted, width = augment(pixels, geometry, AugmentConfig(strength=0), np.random.default_rng(0))
    expected, expected_width = fit_image(pixels, geometry)
    assert width == expected_width
    np.testing.assert_allclose(fitted.astype(int), expected.astype(int), atol=1)


def test_geometry_of_next_to_nothing_hits_the_same_pixels_as_fitting() -> None:
    smooth = cv2.GaussianBlur(cv2.resize(_word(), (100, 28)), (0, 0), 2)
    warped = _augmented(smooth, rotation_degrees=1e-6)
    np.testing.assert_allclose(warped.astype(int), fit_image(smooth, GEOMETRY)[0], atol=2)


def test_the_given_pixels_stay_as_they_are() -> None:
    pixels = _word()
    pixels.flags.writeable = False  # as Pillow gives them
    for seed in SEEDS:
        augment(
            pixels,
            GEOMETRY,
            AugmentConfig(erasing_probability=1, jpeg_probability=1, strength=seed / 4),
            np.random.default_rng(seed),
        )


def _line(image: np.ndarray) -> tuple[float, float]:
    """Return slope and height in the middle of the one dark line in an image."""
    rows, columns = np.nonzero(image[..., 0] < 100)
    slope, start = np.polyfit(columns, rows, 1)
    return float(slope), float(start + slope * image.shape[1] / 2)


def test_rotation_turns_a_line_by_at_most_its_degrees() -> None:
    line = np.full((32, 128, 3), 255, np.uint8)
    line[15:17, 4:-4] = 0
    slopes = [_line(_augmented(line, seed, rotation_degrees=4))[0] for seed in range(30)]
    assert max(np.abs(slopes)) <= np.tan(np.radians(4))
    assert min(slopes) < -0.03
    assert max(slopes) > 0.03


def test_a_long_word_is_turned_less_than_a_short_one() -> None:
    geometry = ImageGeometry(height=16, width=320)
    line = np.full((16, 320, 3), 255, np.uint8)
    line[7:9] = 0
    for seed in SEEDS:
        turned = _augmented(line, seed, geometry, rotation_degrees=30)
        assert turned[:, 0].min() < 128  # the ends of the line are still in the picture
        assert turned[:, -1].min() < 128


def test_shear_slants_a_stroke_and_leaves_lines_level() -> None:
    stroke, line = (np.full((32, 128, 3), 255, np.uint8) for _ in range(2))
    stroke[:, 60:68] = 0
    line[15:17] = 0
    tops = []
    for seed in range(20):
        slanted = _augmented(stroke, seed, shear_degrees=20)[..., 0] < 128
        tops.append(np.nonzero(slanted[0])[0].mean() - np.nonzero(slanted[-1])[0].mean())
        assert abs(_line(_augmented(line, seed, shear_degrees=20))[0]) < 0.005
    assert 6 < max(tops) <= 32 * np.tan(np.radians(20))
    assert min(tops) < -6


def test_perspective_makes_one_end_higher_than_the_other() -> None:
    band = np.full((32, 128, 3), 255, np.uint8)
    band[4:28] = 0
    ratios = []
    for seed in range(20):
        heights = (_augmented(band, seed, perspective=0.1)[..., 0] < 128).sum(0)
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


def test_contrast_changes_differences_and_keeps_the_mean() -> None:
    changed = [_augmented(_word(), seed, contrast=0.3) for seed in SEEDS]
    assert np.ptp([_contrast(image) for image in changed]) > 40
    assert all(abs(_mean(image) - _mean(_word())) < 1 for image in changed)


def test_brightness_changes_the_mean_and_keeps_differences() -> None:
    changed = [_augmented(_word(), seed, brightness=30) for seed in SEEDS]
    means = np.array([_mean(image) for image in changed]) - _mean(_word())
    assert np.abs(means).max() <= 30
    assert np.ptp(means) > 20
    assert all(abs(_contrast(image) - _contrast(_word())) <= 1 for image in changed)


@pytest.mark.parametrize(("paper", "ink"), [(30, 12), (243, 225)])
def test_dark_and_bright_pictures_stay_readable(paper: int, ink: int) -> None:
    pixels = np.where(_word() > 100, paper, ink).astype(np.uint8)
    for seed in range(30):
        changed = _augmented(pixels, seed, contrast=0.3, brightness=60)
        assert _contrast(changed) > 6


def test_gamma_moves_the_middle_and_keeps_black_and_white() -> None:
    steps = np.repeat(np.array([0, 128, 255], np.uint8), 20)[None, :, None].repeat(3, 2)
    steps = steps.repeat(20, 0)
    geometry = ImageGeometry(height=20, width=60)
    middles = []
    for seed in SEEDS:
        bent = _augmented(steps, seed, geometry, gamma=0.5)
        assert (bent[:, :20] == 0).all()
        assert (bent[:, 40:] == 255).all()
        middles.append(int(bent[10, 30, 0]))
    assert min(middles) < 115
    assert max(middles) > 140


@pytest.mark.parametrize(("name", "amount"), [("saturation", 0.5), ("hue_degrees", 30.0)])
def test_colours_change_and_grey_does_not(name: str, amount: float) -> None:
    orange = np.full((32, 128, 3), (180, 90, 60), np.uint8)
    grey = np.full((32, 128, 3), 110, np.uint8)
    colours = []
    for seed in range(20):
        red, green, blue = _augmented(orange, seed, **{name: amount})[0, 0].astype(int)
        assert abs((red + green + blue) / 3 - 110) <= 1
        assert red > max(green, blue)  # orange it stays
        colours.append((red - (green + blue) / 2, green - blue))
        assert (_augmented(grey, seed, **{name: amount}) == 110).all()
    strengths, hues = np.array(colours).T
    assert np.ptp(strengths) > (60 if name == "saturation" else 0)
    assert np.ptp(hues) > (0 if name == "saturation" else 60)


def test_inversion_gives_the_negative_of_its_share_of_images() -> None:
    np.testing.assert_array_equal(_augmented(_word(), inversion_probability=1), 255 - _word())
    is_negative = [
        _mean(_augmented(_word(), s, inversion_probability=0.3)) < 100 for s in range(60)
    ]
    assert 8 < sum(is_negative) < 30


@pytest.mark.parametrize(("name", "amount"), [("blur", 2.0), ("motion_blur", 6.0)])
def test_blur_softens_and_keeps_the_mean(name: str, amount: float) -> None:
    blurred = [
        _augmented(_word(), seed, **{name: amount, f"{name}_probability": 1}) for seed in SEEDS
    ]
    assert min(_sharpness(image) for image in blurred) < 0.6 * _sharpness(_word())
    assert all(_sharpness(image) <= _sharpness(_word()) for image in blurred)
    assert all(abs(_mean(image) - _mean(_word())) < 1.5 for image in blurred)


def test_blur_is_in_pixels_of_the_input_whatever_the_size_of_the_source() -> None:
    step = np.zeros((32, 128, 3), np.uint8)
    step[:, 64:] = 255
    half = cv2.resize(step, (64, 16), interpolation=cv2.INTER_NEAREST)
    widths = []
    for seed in SEEDS:
        rows = [_augmented(s, seed, blur=3.0, blur_probability=1)[16, :, 0] for s in (step, half)]
        widths.append([int(((row > 40) & (row < 215)).sum()) for row in rows])
    assert max(width for width, _ in widths) >= 4
    assert all(abs(width - of_half) <= 2 for width, of_half in widths)  # scaling up adds one, two


def test_motion_blur_is_in_one_direction() -> None:
    point = np.zeros((32, 128, 3), np.uint8)
    point[15:17, 63:65] = 255
    for seed in range(30):
        streak = _augmented(point, seed, motion_blur=12, motion_blur_probability=1)[..., 0]
        rows, columns = np.nonzero(streak > 8)
        spread = np.linalg.eigvalsh(np.cov(rows, columns))
        if len(rows) > 12:  # long enough to have a direction
            assert spread[1] > 3 * spread[0]


def test_noise_has_its_deviation_and_no_mean() -> None:
    grey = np.full((32, 128, 3), 128, np.uint8)
    deviations = []
    for seed in range(20):
        noise = _augmented(grey, seed, noise=20, noise_probability=1).astype(int) - 128
        assert abs(noise.mean()) < 1.5
        deviations.append(noise.std())
    assert 14 < max(deviations) < 21
    assert min(deviations) < 6


def test_resolution_loss_removes_detail_and_keeps_shape() -> None:
    detail = np.random.default_rng(0).integers(0, 256, (32, 128, 3), np.uint8)
    for seed in SEEDS:
        coarse = _augmented(detail, seed, resolution_loss=0.6, resolution_loss_probability=1)
        assert coarse.shape == (32, 128, 3)
        assert coarse.std() < detail.std()
        assert _sharpness(coarse) < 0.8 * _sharpness(detail)


def test_encoding_again_changes_little_and_keeps_colours_in_their_channels() -> None:
    coloured = _word()
    coloured[..., 0] = 220
    for seed in SEEDS:
        encoded = _augmented(coloured, seed, jpeg=80, jpeg_probability=1).astype(int)
        assert 0 < np.abs(encoded - coloured).mean() < 12
        assert encoded[..., 0].mean() > 200


def test_erasing_hides_a_few_small_patches() -> None:
    word = np.random.default_rng(0).integers(0, 256, (32, 128, 3), np.uint8)
    shares = []
    for seed in range(30):
        is_changed = (_augmented(word, seed, erasing=0.25, erasing_probability=1) != word).any(2)
        num_patches, _ = cv2.connectedComponents(is_changed.astype(np.uint8))
        assert num_patches - 1 <= 3
        shares.append(is_changed.sum() / 8**2)
    assert max(shares) <= 3
    assert np.mean(shares) > 0.2


def test_an_effect_is_drawn_for_its_share_of_images() -> None:
    is_noisy = [
        bool((_augmented(_word(), s, noise=20, noise_probability=0.25) != _word()).any())
        for s in range(100)
    ]
    assert 12 < sum(is_noisy) < 40


def test_one_effect_does_not_change_what_the_others_draw() -> None:
    for seed in SEEDS:
        moved = _augmented(_word(), seed, rotation_degrees=4)
        also = {"blur_probability": 1, "noise_probability": 1, "jpeg_probability": 1}
        np.testing.assert_array_equal(_augmented(_word(), seed, rotation_degrees=4, **also), moved)
        erased = _augmented(_word(), seed, rotation_degrees=4, erasing=0.2, erasing_probability=1)
        assert (erased == moved).all(2).mean() > 0.9
        negative = _augmented(_word(), seed, rotation_degrees=4, inversion_probability=1)
        np.testing.assert_allclose(255 - negative.astype(int), moved, atol=1)


def test_strength_scales_every_amount_as_far_as_it_goes() -> None:
    config = AugmentConfig(strength=2, contrast=0.3, perspective=0.15, rotation_degrees=5)
    assert config.scaled.contrast == 0.6
    assert config.scaled.perspective == 0.2
    assert config.scaled.rotation_degrees == 10
    assert config.scaled.blur_probability == config.blur_probability
    assert config.scaled.strength == 1


def test_more_strength_changes_more() -> None:
    def change(strength: float) -> float:
        plain, config = _word().astype(int), AugmentConfig(strength=strength)
        images = [augment(_word(), GEOMETRY, config, np.random.default_rng(s))[0] for s in SEEDS]
        return float(np.mean([np.abs(image - plain).mean() for image in images]))

    assert 0 < change(0.2) < change(0.6) < change(1.5)


def test_settings_are_the_same_after_use_and_after_a_journey() -> None:
    used, fresh = AugmentConfig(strength=0.5), AugmentConfig(strength=0.5)
    augment(_word(), GEOMETRY, used, np.random.default_rng(0))
    assert used == fresh
    assert used.to_yaml() == fresh.to_yaml()
    sent = pickle.loads(pickle.dumps(used))  # noqa: S301  # as Ray sends it
    assert sent == fresh
    assert used.replace(strength=2).scaled.contrast == 4 * used.scaled.contrast == 0.6


def test_an_amount_that_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"perspective is 0\.5, at most 0\.2"):
        AugmentConfig(perspective=0.5)


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


def test_a_large_image_is_averaged_and_not_sampled() -> None:
    chequered = (np.indices((320, 1280)).sum(0) % 2 * 255).astype(np.uint8)
    pixels = np.repeat(chequered[..., None], 3, 2)
    shrunk = _augmented(pixels, rotation_degrees=4)
    assert np.ptp(shrunk) <= 4  # one grey: a sampled chequerboard would show waves
    assert abs(_mean(shrunk) - 127) < 2
