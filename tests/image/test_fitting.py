from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ocr_model.image import (
    ImageGeometry,
    content_columns,
    decode_image,
    fit_image,
    pad_image,
    resize_image,
)

Encode = Callable[..., bytes]
RED, BLUE = (255, 0, 0), (0, 0, 255)


def _assert_close(pixel: np.ndarray, colour: tuple[int, int, int]) -> None:
    np.testing.assert_allclose(pixel.astype(int), colour, atol=4)


@settings(deadline=None, database=None, max_examples=30)
@given(
    st.integers(1, 80),
    st.integers(1, 300),
    st.sampled_from(["stretch", "pad"]),
    st.sampled_from(["PNG", "JPEG"]),
)
def test_the_same_bytes_give_the_same_pixels_in_the_wanted_shape(
    encode: Encode, height: int, width: int, fit: str, kind: str
) -> None:
    rng = np.random.default_rng([height, width])
    data = encode(Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)), kind)
    geometry = ImageGeometry.model_validate({"fit": fit})
    first, first_columns = fit_image(decode_image(data), geometry)
    again, again_columns = fit_image(decode_image(bytearray(data)), geometry)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (32, 128, 3)
    assert first_columns == again_columns == content_columns(height, width, geometry)


def test_stretching_fills_the_width(halves: Image.Image) -> None:
    fitted, columns = fit_image(np.asarray(halves), ImageGeometry(height=8, width=64))
    assert fitted.shape == (8, 64, 3)
    assert columns == 64
    _assert_close(fitted[4, 10], RED)
    _assert_close(fitted[4, 54], BLUE)


def test_padding_keeps_the_aspect_and_says_where_it_begins(halves: Image.Image) -> None:
    geometry = ImageGeometry(height=8, width=64, fit="pad")
    fitted, columns = fit_image(np.asarray(halves), geometry)
    assert columns == 16
    _assert_close(fitted[4, 15], BLUE)
    assert (fitted[:, 16:] == 127).all()


def test_padding_squeezes_what_is_too_wide_and_keeps_a_column_of_what_is_too_narrow() -> None:
    geometry = ImageGeometry(height=8, width=64, fit="pad")
    assert fit_image(np.zeros((10, 400, 3), np.uint8), geometry)[1] == 64
    assert fit_image(np.zeros((400, 1, 3), np.uint8), geometry)[1] == 1


def test_fitting_does_not_change_its_input() -> None:
    pixels = np.full((32, 128, 3), 5, np.uint8)
    fitted, _ = fit_image(pixels, ImageGeometry())
    fitted[:] = 9
    assert (pixels == 5).all()


def test_a_side_that_shrinks_is_averaged_even_where_the_other_grows() -> None:
    stripes = np.zeros((320, 16, 3), np.uint8)
    stripes[::10] = 250  # one row of ten
    resized = resize_image(stripes, 32, 128)
    assert resized.shape == (32, 128, 3)
    assert (resized == 25).all()


def test_an_image_that_fits_is_copied() -> None:
    pixels = np.zeros((32, 128, 3), np.uint8)
    assert not np.shares_memory(resize_image(pixels, 32, 128), pixels)
    assert pad_image(pixels, ImageGeometry()) is pixels
