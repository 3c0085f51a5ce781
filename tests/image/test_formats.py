import inspect
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ocr_model.errors import ImageError
from ocr_model.image import decode_image

Encode = Callable[..., bytes]

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


def _assert_close(pixel: np.ndarray, colour: tuple[int, int, int]) -> None:
    np.testing.assert_allclose(pixel.astype(int), colour, atol=4)


def test_exif_orientation_is_applied(encode: Encode, halves: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate clockwise to see it upright
    pixels = decode_image(encode(halves, "JPEG", quality=95, exif=exif))
    assert pixels.shape == (32, 16, 3)
    _assert_close(pixels[4, 8], RED)
    _assert_close(pixels[28, 8], BLUE)


def test_a_palette_is_looked_up(encode: Encode, halves: Image.Image) -> None:
    image = halves.quantize(2)
    assert image.mode == "P"
    pixels = decode_image(encode(image, "PNG"))
    _assert_close(pixels[0, 0], RED)
    _assert_close(pixels[0, 31], BLUE)


def test_transparency_is_laid_over_white(encode: Encode) -> None:
    image = Image.new("RGBA", (3, 1))
    image.putdata([(*RED, 255), (*RED, 128), (*RED, 0)])
    pixels = decode_image(encode(image, "PNG"))
    assert pixels[0].tolist() == [[255, 0, 0], [255, 127, 127], [255, 255, 255]]


def test_a_transparent_palette_entry_becomes_white(encode: Encode, halves: Image.Image) -> None:
    image = halves.quantize(2)
    hole = image.getpixel((0, 0))
    pixels = decode_image(encode(image, "PNG", transparency=hole))
    _assert_close(pixels[0, 0], WHITE)
    _assert_close(pixels[0, 31], BLUE)


def test_a_cmyk_jpeg_is_converted(encode: Encode) -> None:
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    pixels = decode_image(encode(image, "JPEG", quality=95))
    _assert_close(pixels[8, 8], RED)


def test_sixteen_bits_are_scaled_to_eight(encode: Encode) -> None:
    image = Image.fromarray(np.array([[0, 0x7F00, 0xFFFF]], np.uint16))
    assert image.mode == "I;16"
    pixels = decode_image(encode(image, "PNG"))
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


def test_one_bit_and_grey_pictures_become_rgb(encode: Encode) -> None:
    grey = decode_image(encode(Image.new("L", (4, 2), 90), "PNG"))
    one_bit = decode_image(encode(Image.new("1", (4, 2), 1), "PNG"))
    assert grey.shape == one_bit.shape == (2, 4, 3)
    assert (grey == 90).all()
    assert (one_bit == 255).all()


def test_the_first_frame_of_a_gif_is_taken(encode: Encode) -> None:
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    data = encode(first, "GIF", save_all=True, append_images=[second], duration=100)
    pixels = decode_image(data)
    _assert_close(pixels[4, 4], RED)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_of_bytes_is_read(kind: type, encode: Encode, halves: Image.Image) -> None:
    data = encode(halves, "PNG")
    np.testing.assert_array_equal(decode_image(kind(data)), np.asarray(halves))


def test_an_open_picture_is_read_like_its_bytes(halves: Image.Image) -> None:
    np.testing.assert_array_equal(decode_image(halves), np.asarray(halves))


def test_a_picture_cut_short_is_truncated(encode: Encode) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encode(Image.fromarray(noise), "JPEG")
    with pytest.raises(ImageError) as caught:
        decode_image(data[: len(data) // 2])
    assert caught.value.reason == "truncated"


def test_more_pixels_than_allowed_are_refused(encode: Encode, halves: Image.Image) -> None:
    with pytest.raises(ImageError, match="32x16, at most 511 pixels") as caught:
        decode_image(encode(halves, "PNG"), max_pixels=511)
    assert caught.value.reason == "too_large"
    assert decode_image(encode(halves, "PNG"), max_pixels=512).shape == (16, 32, 3)


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


def test_floating_point_pixels_are_undecodable(encode: Encode) -> None:
    with pytest.raises(ImageError, match="no defined range"):
        decode_image(encode(Image.new("F", (4, 4), 0.5), "TIFF"))


@settings(deadline=None, database=None)
@given(st.sampled_from(MAGIC_NUMBERS), st.binary(max_size=200))
def test_random_bytes_give_an_image_error_and_nothing_else(magic: bytes, noise: bytes) -> None:
    with pytest.raises(ImageError):
        decode_image(magic + noise, max_pixels=10_000)


@settings(deadline=None, database=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]), st.data())
def test_a_damaged_picture_gives_pixels_or_an_image_error(
    encode: Encode, halves: Image.Image, kind: str, data: st.DataObject
) -> None:
    damaged = bytearray(encode(halves, kind))
    places = st.integers(0, len(damaged) - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=4)):
        damaged[place] ^= 0xFF
    try:
        outcome = decode_image(damaged, max_pixels=10_000).dtype.name
    except ImageError as error:
        outcome = error.reason
    assert outcome in {"uint8", "truncated", "undecodable", "not_an_image", "too_large"}
