import io
import re
import struct
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError

from ocr_model.errors import ImageError
from ocr_model.image import decode_image

Encode = Callable[..., bytes]


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


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options", [{}, {"quality": 40}, {"quality": 95, "subsampling": 0}, {"optimize": True}]
)
def test_a_plain_jpeg_is_read_without_pillow_and_looks_as_if_read_by_it(
    mode: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch, encode: Encode
) -> None:
    data = encode(_scene(mode), "JPEG", **options)
    expected = _by_pillow(data)
    monkeypatch.delattr(Image, "open")
    np.testing.assert_allclose(decode_image(data).astype(int), expected, atol=2)


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"restart_marker_blocks": 2}, {"exif": Image.Exif()}]
)
def test_any_other_jpeg_is_read_by_pillow(options: dict[str, object], encode: Encode) -> None:
    data = encode(_scene(), "JPEG", **options)
    np.testing.assert_array_equal(decode_image(data), _by_pillow(data))


def test_a_plain_jpeg_with_bytes_behind_its_end_is_read(encode: Encode) -> None:
    data = encode(_scene(), "JPEG") + b"\r\n"
    np.testing.assert_array_equal(decode_image(data), _by_pillow(data))


def test_the_size_of_a_plain_jpeg_is_known_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch, encode: Encode
) -> None:
    monkeypatch.delattr(cv2, "imdecode")
    with pytest.raises(ImageError, match="96x32, at most 3071 pixels"):
        decode_image(encode(_scene(), "JPEG"), max_pixels=3071)


def test_a_size_in_a_comment_is_not_the_size(encode: Encode) -> None:
    lie = struct.pack(">BBHBHHB", 0xFF, 0xC0, 17, 8, 1, 1, 3)
    data = encode(_scene(), "JPEG", comment=lie + b"\xff\xd9")
    assert decode_image(data).shape == (32, 96, 3)
    with pytest.raises(ImageError, match="too_large"):
        decode_image(data, max_pixels=100)


@pytest.mark.parametrize(
    "filler", [b"\xff", b"\xff\x01", b"\xff\xd0", b"\x00", b"\xff\xe2\x00\x00"]
)
def test_an_irregular_header_is_left_to_pillow(filler: bytes, encode: Encode) -> None:
    data = encode(_scene(), "JPEG")
    for place in (2, *(found.start() for found in re.finditer(rb"\xff[\xc0\xc4\xda]", data))):
        odd = data[:place] + filler + data[place:]
        _assert_same(_outcome(odd), _by_pillow(odd))


def test_tables_that_a_decoder_would_overlook_are_left_to_pillow(
    encode: Encode,
) -> None:
    data = encode(_scene(), "JPEG").replace(b"\xff\xc4", b"\xff\x01")
    assert _outcome(data) == _by_pillow(data) == "not_an_image"


@settings(deadline=None, database=None, max_examples=150)
@given(st.data())
def test_a_damaged_jpeg_is_judged_as_by_pillow(encode: Encode, data: st.DataObject) -> None:
    damaged = bytearray(encode(_scene(), "JPEG", quality=90))
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=3)):
        damaged[place] ^= data.draw(st.integers(1, 255))
    _assert_same(_outcome(bytes(damaged)), _by_pillow(bytes(damaged)))
