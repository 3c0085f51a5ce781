import inspect
import io
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError

from ocr_model.errors import ImageError
from ocr_model.image import (
    ImageGeometry,
    content_columns,
    decode_image,
    fit_image,
    pad_image,
    resize_image,
)

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
MAGIC_NUMBERS = [
    b"",
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    b"GIF89a",
    b"BM",
    b"II*\x00\x08\x00\x00\x00",
    b"RIFF\x40\x00\x00\x00WEBPVP8 ",
]


def _encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _halves() -> Image.Image:
    image = Image.new("RGB", (32, 16), RED)
    image.paste(BLUE, (16, 0, 32, 16))
    return image


def _scene(mode: str = "RGB") -> Image.Image:
    """Return a picture with smooth and with sharp places."""
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(0, 256, (4, 12, 3)), np.ones((8, 8, 1)))
    return Image.fromarray((blocks * np.linspace(0.5, 1, 96)[:, None]).astype(np.uint8)).convert(
        mode
    )


def _outcome(image: bytes | Image.Image) -> np.ndarray | str:
    """Return pixels, or the reason why there are none."""
    try:
        return decode_image(image)
    except ImageError as error:
        return error.reason


def _by_pillow(data: bytes) -> np.ndarray | str:
    """Return the same of a picture that Pillow has opened."""
    try:
        return _outcome(Image.open(io.BytesIO(data)))
    except UnidentifiedImageError:
        return "not_an_image"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return "too_large"
    except OSError as error:
        return "truncated" if "truncated" in str(error) else "undecodable"


def _assert_same(outcome: np.ndarray | str, expected: np.ndarray | str) -> None:
    if isinstance(outcome, str) or isinstance(expected, str):
        assert isinstance(outcome, str)
        assert outcome == expected
    else:
        np.testing.assert_allclose(outcome.astype(int), expected, atol=2)


def _assert_close(pixel: np.ndarray, colour: tuple[int, int, int]) -> None:
    np.testing.assert_allclose(pixel.astype(int), colour, atol=4)


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate clockwise to see it upright
    pixels = decode_image(_encode(_halves(), "JPEG", quality=95, exif=exif))
    assert pixels.shape == (32, 16, 3)
    _assert_close(pixels[4, 8], RED)
    _assert_close(pixels[28, 8], BLUE)


def test_a_palette_is_looked_up() -> None:
    image = _halves().quantize(2)
    assert image.mode == "P"
    pixels = decode_image(_encode(image, "PNG"))
    _assert_close(pixels[0, 0], RED)
    _assert_close(pixels[0, 31], BLUE)


def test_transparency_is_laid_over_white() -> None:
    image = Image.new("RGBA", (3, 1))
    image.putdata([(*RED, 255), (*RED, 128), (*RED, 0)])
    pixels = decode_image(_encode(image, "PNG"))
    assert pixels[0].tolist() == [[255, 0, 0], [255, 127, 127], [255, 255, 255]]


def test_a_transparent_palette_entry_becomes_white() -> None:
    image = _halves().quantize(2)
    hole = image.getpixel((0, 0))
    pixels = decode_image(_encode(image, "PNG", transparency=hole))
    _assert_close(pixels[0, 0], WHITE)
    _assert_close(pixels[0, 31], BLUE)


def test_a_cmyk_jpeg_is_converted() -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    pixels = decode_image(_encode(image, "JPEG", quality=95))
    _assert_close(pixels[8, 8], RED)


def test_sixteen_bits_are_scaled_to_eight() -> None:
    image = Image.fromarray(np.array([[0, 0x7F00, 0xFFFF]], np.uint16))
    assert image.mode == "I;16"
    pixels = decode_image(_encode(image, "PNG"))
    assert pixels.tolist() == [[[0] * 3, [127] * 3, [255] * 3]]


@pytest.mark.parametrize("value", [None, "word.png", 7])
def test_what_cannot_be_a_picture_says_what_may_be(value: object) -> None:
    unchecked = inspect.unwrap(decode_image)  # without the tests' own check of types
    with pytest.raises(ImageError, match=f"not_an_image: {type(value).__name__}, expected encoded"):
        unchecked(value)  # type: ignore[arg-type]  # what is tested


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 127, 255], [0, 127, 255]), ([0, 0x7F00, 0xFFFF], [0, 127, 255]), ([-9, 5], [0, 5])],
)
def test_mode_i_is_scaled_where_its_values_need_it(values: list[int], expected: list[int]) -> None:
    image = Image.fromarray(np.array([values], np.int32))
    assert image.mode == "I"
    assert decode_image(image)[0, :, 0].tolist() == expected


def test_one_bit_and_grey_pictures_become_rgb() -> None:
    grey = decode_image(_encode(Image.new("L", (4, 2), 90), "PNG"))
    one_bit = decode_image(_encode(Image.new("1", (4, 2), 1), "PNG"))
    assert grey.shape == one_bit.shape == (2, 4, 3)
    assert (grey == 90).all()
    assert (one_bit == 255).all()


def test_the_first_frame_of_a_gif_is_taken() -> None:
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    data = _encode(first, "GIF", save_all=True, append_images=[second], duration=100)
    pixels = decode_image(data)
    _assert_close(pixels[4, 4], RED)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_of_bytes_is_read(kind: type) -> None:
    data = _encode(_halves(), "PNG")
    np.testing.assert_array_equal(decode_image(kind(data)), np.asarray(_halves()))


def test_an_open_picture_is_read_like_its_bytes() -> None:
    np.testing.assert_array_equal(decode_image(_halves()), np.asarray(_halves()))


def test_a_picture_cut_short_is_truncated() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = _encode(Image.fromarray(noise), "JPEG")
    with pytest.raises(ImageError) as caught:
        decode_image(data[: len(data) // 2])
    assert caught.value.reason == "truncated"


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options", [{}, {"quality": 40}, {"quality": 95, "subsampling": 0}, {"optimize": True}]
)
def test_a_plain_jpeg_is_read_without_pillow_and_looks_as_if_read_by_it(
    mode: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _encode(_scene(mode), "JPEG", **options)
    expected = _by_pillow(data)
    monkeypatch.delattr(Image, "open")
    np.testing.assert_allclose(decode_image(data).astype(int), expected, atol=2)


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"restart_marker_blocks": 2}, {"exif": Image.Exif()}]
)
def test_any_other_jpeg_is_read_by_pillow(options: dict[str, object]) -> None:
    data = _encode(_scene(), "JPEG", **options)
    np.testing.assert_array_equal(decode_image(data), _by_pillow(data))


def test_a_plain_jpeg_with_bytes_behind_its_end_is_read() -> None:
    data = _encode(_scene(), "JPEG") + b"\r\n"
    np.testing.assert_array_equal(decode_image(data), _by_pillow(data))


def test_the_size_of_a_plain_jpeg_is_known_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(cv2, "imdecode")
    with pytest.raises(ImageError, match="96x32, at most 3071 pixels"):
        decode_image(_encode(_scene(), "JPEG"), max_pixels=3071)


def test_a_size_in_a_comment_is_not_the_size() -> None:
    lie = struct.pack(">BBHBHHB", 0xFF, 0xC0, 17, 8, 1, 1, 3)
    data = _encode(_scene(), "JPEG", comment=lie + b"\xff\xd9")
    assert decode_image(data).shape == (32, 96, 3)
    with pytest.raises(ImageError, match="too_large"):
        decode_image(data, max_pixels=100)


@pytest.mark.parametrize(
    "filler", [b"\xff", b"\xff\x01", b"\xff\xd0", b"\x00", b"\xff\xe2\x00\x00"]
)
def test_an_irregular_header_is_left_to_pillow(filler: bytes) -> None:
    data = _encode(_scene(), "JPEG")
    for place in (2, *(found.start() for found in re.finditer(rb"\xff[\xc0\xc4\xda]", data))):
        odd = data[:place] + filler + data[place:]
        _assert_same(_outcome(odd), _by_pillow(odd))


def test_tables_that_a_decoder_would_overlook_and_replace_are_left_to_pillow() -> None:
    data = _encode(_scene(), "JPEG").replace(b"\xff\xc4", b"\xff\x01")
    assert _outcome(data) == _by_pillow(data) == "not_an_image"


@settings(deadline=None, database=None, max_examples=150)
@given(st.data())
def test_a_damaged_jpeg_is_judged_as_by_pillow(data: st.DataObject) -> None:
    damaged = bytearray(_encode(_scene(), "JPEG", quality=90))
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=3)):
        damaged[place] ^= data.draw(st.integers(1, 255))
    _assert_same(_outcome(bytes(damaged)), _by_pillow(bytes(damaged)))


def test_more_pixels_than_allowed_are_refused() -> None:
    with pytest.raises(ImageError, match="32x16, at most 511 pixels") as caught:
        decode_image(_encode(_halves(), "PNG"), max_pixels=511)
    assert caught.value.reason == "too_large"
    assert decode_image(_encode(_halves(), "PNG"), max_pixels=512).shape == (16, 32, 3)


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n"
    for name, content in ((b"IHDR", header), (b"IDAT", b"")):
        chunk = name + content
        bomb += struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    with pytest.raises(ImageError) as caught:
        decode_image(bomb)
    assert caught.value.reason == "too_large"


def test_zero_bytes_are_empty() -> None:
    with pytest.raises(ImageError, match="empty: zero bytes"):
        decode_image(b"")


def test_bytes_of_no_format_are_not_an_image() -> None:
    with pytest.raises(ImageError) as caught:
        decode_image(b"<html>404</html>")
    assert caught.value.reason == "not_an_image"


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0), (5,), (2, 5, 5, 3), (5, 5, 2)])
def test_an_array_without_a_picture_in_it_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError) as caught:
        decode_image(np.zeros(shape, np.uint8))
    assert caught.value.reason == "bad_array"


def test_an_array_of_floats_is_refused() -> None:
    with pytest.raises(ImageError, match="float64, expected uint8"):
        decode_image(np.zeros((2, 2, 3)))


@pytest.mark.parametrize("shape", [(2, 4), (2, 4, 1), (2, 4, 3)])
def test_grey_and_rgb_arrays_become_rgb(shape: tuple[int, ...]) -> None:
    pixels = decode_image(np.full(shape, 90, np.uint8))
    assert pixels.shape == (2, 4, 3)
    assert (pixels == 90).all()


def test_an_array_with_alpha_is_laid_over_white() -> None:
    pixels = decode_image(np.array([[[255, 0, 0, 255], [255, 0, 0, 0]]], np.uint8))
    assert pixels.tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_an_array_of_sixteen_bits_is_scaled() -> None:
    pixels = decode_image(np.array([[0, 0x7F00, 0xFFFF]], np.uint16))
    assert pixels[0, :, 0].tolist() == [0, 127, 255]


def test_floating_point_pixels_are_undecodable() -> None:
    with pytest.raises(ImageError, match="no defined range"):
        decode_image(_encode(Image.new("F", (4, 4), 0.5), "TIFF"))


@settings(deadline=None, database=None)
@given(st.sampled_from(MAGIC_NUMBERS), st.binary(max_size=200))
def test_random_bytes_give_an_image_error_and_nothing_else(magic: bytes, noise: bytes) -> None:
    with pytest.raises(ImageError):
        decode_image(magic + noise, max_pixels=10_000)


@settings(deadline=None, database=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]), st.data())
def test_a_damaged_picture_gives_pixels_or_an_image_error(kind: str, data: st.DataObject) -> None:
    damaged = bytearray(_encode(_halves(), kind))
    places = st.integers(0, len(damaged) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        damaged[place] ^= 0xFF
    try:
        outcome = decode_image(damaged, max_pixels=10_000).dtype.name
    except ImageError as error:
        outcome = error.reason
    assert outcome in {"uint8", "truncated", "undecodable", "not_an_image", "too_large"}


@settings(deadline=None, database=None, max_examples=30)
@given(
    st.integers(1, 80),
    st.integers(1, 300),
    st.sampled_from(["stretch", "pad"]),
    st.sampled_from(["PNG", "JPEG"]),
)
def test_the_same_bytes_give_the_same_pixels_in_the_wanted_shape(
    height: int, width: int, fit: str, kind: str
) -> None:
    rng = np.random.default_rng([height, width])
    data = _encode(Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)), kind)
    geometry = ImageGeometry.model_validate({"fit": fit})
    first, first_columns = fit_image(decode_image(data), geometry)
    again, again_columns = fit_image(decode_image(bytearray(data)), geometry)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (32, 128, 3)
    assert first_columns == again_columns == content_columns(height, width, geometry)


def test_stretching_fills_the_width() -> None:
    fitted, columns = fit_image(np.asarray(_halves()), ImageGeometry(height=8, width=64))
    assert fitted.shape == (8, 64, 3)
    assert columns == 64
    _assert_close(fitted[4, 10], RED)
    _assert_close(fitted[4, 54], BLUE)


def test_padding_keeps_the_aspect_and_says_where_it_begins() -> None:
    geometry = ImageGeometry(height=8, width=64, fit="pad")
    fitted, columns = fit_image(np.asarray(_halves()), geometry)
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
