"""What is refused because it would cost more than its pixels tell."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from ocr_model.errors import ImageError
from ocr_model.image import decode_image
from ocr_model.jpeg import MOST_SCANS, MOST_SEGMENTS
from ocr_model.tiff import MOST_ENTRIES

Encode = Callable[..., bytes]

START, END = b"\xff\xd8", b"\xff\xd9"
EMPTY = b"\xff\xfe\0\2"


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


TABLES = _segment(0xDB, b"\0" + b"\1" * 64) + _segment(0xC4, b"\0\1" + bytes(16))


def _jpeg(num_scans: int, frame: int = 0xC2, before: bytes = b"", behind: bytes = b"") -> bytes:
    """Return a JPEG of 16x16 pixels whose scans have no data."""
    shape = struct.pack(">BHHB", 8, 16, 16, 3) + b"\1\x11\0\2\x11\0\3\x11\0"
    last = 0 if frame in (0xC2, 0xCA) else 63
    scans = [
        _segment(0xDA, bytes([1, 1 + number % 3, 0, 0, last, 0])) for number in range(num_scans)
    ]
    return (
        START + before + TABLES + _segment(frame, shape) + b"\0".join(scans) + b"\0" + END + behind
    )


def _reason(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(data)
    return caught.value.reason


@pytest.mark.parametrize("kind", ["PPM", "PCX", "TGA", "ICO", "ICNS", "DDS", "JPEG2000", "DIB"])
def test_a_format_that_is_not_promised_is_no_image(
    kind: str, encode: Encode, halves: Image.Image
) -> None:
    assert _reason(encode(halves, kind)) == "not_an_image"


def test_postscript_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = list[object]()
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *given, **_: begun.append(given))
    drawing = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
    assert _reason(drawing) == "not_an_image"
    assert not begun


def test_an_open_picture_may_be_of_any_format(encode: Encode, halves: Image.Image) -> None:
    with Image.open(io.BytesIO(encode(halves, "PPM"))) as opened:
        np.testing.assert_array_equal(decode_image(opened), np.asarray(halves))


def test_a_cameras_several_jpegs_in_one_are_read(encode: Encode, halves: Image.Image) -> None:
    data = encode(halves, "MPO", save_all=True, append_images=[halves] * 2, progressive=True)
    assert decode_image(data).shape == (16, 32, 3)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_progressive_jpeg_is_read(mode: str, encode: Encode, halves: Image.Image) -> None:
    data = encode(halves.convert(mode), "JPEG", progressive=True)
    assert decode_image(data).shape == (16, 32, 3)


@pytest.mark.parametrize("frame", [0xC0, 0xC1, 0xC2])
def test_a_jpeg_of_more_scans_than_encoders_write_is_too_large(frame: int) -> None:
    assert decode_image(_jpeg(MOST_SCANS, frame)).shape == (16, 16, 3)
    assert _reason(_jpeg(MOST_SCANS + 1, frame)) == "too_large"


@pytest.mark.parametrize(
    "before",
    [TABLES + END + START, b"\xff" * 3, b"\xff\xd0", _segment(0xE1, b"Exif\0\0" + END)],
    ids=["tables", "filling", "no length", "end in metadata"],
)
def test_scans_are_counted_whatever_comes_before_them(before: bytes) -> None:
    assert decode_image(_jpeg(2, before=before)).shape == (16, 16, 3)
    assert _reason(_jpeg(MOST_SCANS + 1, before=before)) == "too_large"


def test_what_looks_like_scans_but_is_none_is_not_counted() -> None:
    scans = b"\xff\xda" * 2 * MOST_SCANS
    data = _jpeg(2, before=_segment(0xED, scans), behind=scans)
    assert decode_image(data).shape == (16, 16, 3)


@pytest.mark.parametrize("frame", [0xC0, 0xC2])
def test_a_jpeg_of_countless_segments_is_too_large(frame: int) -> None:
    assert decode_image(_jpeg(3, frame, before=EMPTY * 100)).shape == (16, 16, 3)
    assert _reason(_jpeg(3, frame, before=EMPTY * MOST_SEGMENTS)) == "too_large"


def test_a_plain_jpeg_of_countless_segments_is_too_large(
    encode: Encode, halves: Image.Image
) -> None:
    data = encode(halves, "JPEG")
    assert _reason(data[:2] + EMPTY * MOST_SEGMENTS + data[2:]) == "too_large"


@pytest.mark.parametrize("frame", [0xC9, 0xCA])
def test_arithmetic_coding_is_not_read(frame: int) -> None:
    assert _reason(_jpeg(3, frame)) == "undecodable"


def test_a_tiff_of_countless_entries_is_too_large() -> None:
    entries = struct.pack("<Q", MOST_ENTRIES + 1) + bytes(20 * (MOST_ENTRIES + 1) + 8)
    assert _reason(b"II+\0" + struct.pack("<HHQ", 8, 0, 16) + entries) == "too_large"


def test_a_tile_counts_however_small_the_picture_is() -> None:
    tags = {256: 8, 257: 8, 258: 8, 259: 8, 262: 1, 277: 1, 322: 4096, 323: 4096, 324: 8, 325: 8}
    entries = b"".join(struct.pack("<HHLL", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
    with pytest.raises(ImageError, match="too_large: 4096x4096, at most 1000000 pixels"):
        decode_image(data, max_pixels=1_000_000)
