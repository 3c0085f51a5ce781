import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocr_model.inference.documents import DocumentConfig, PageImage, open_pages

Encode = Callable[..., bytes]
MakePicture = Callable[..., Image.Image]

RED = (255, 0, 0)
IMAGE_KINDS = ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"]
KINDS = [*IMAGE_KINDS, "PDF"]


def _number(page: PageImage) -> int:
    """Return which page it is by its colour."""
    assert page.pixels is not None, page.error
    return round((255 - int(page.pixels[-5, -5, 2])) / 20)


def _only(source: object, **settings: object) -> PageImage:
    (page,) = open_pages(source, DocumentConfig(dpi=72.0, **settings))  # type: ignore[arg-type]  # of any type
    return page


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given_as", ["bytes", "memoryview", "path", "name"])
def test_every_format_is_read_from_bytes_and_files_whatever_their_name(
    kind: str, given_as: str, tmp_path: Path, encode: Encode
) -> None:
    data, path = encode(kind), tmp_path / "no_suffix"
    path.write_bytes(data)
    sources = {"bytes": data, "memoryview": memoryview(data), "path": path, "name": str(path)}
    page = _only(sources[given_as])
    assert page.pixels is not None
    assert page.pixels.shape == (40, 80, 3)
    np.testing.assert_allclose(page.pixels[2, 2].astype(int), RED, atol=6)
    assert (page.number, page.error, page.warnings) == (1, "", ())
    assert page.source == (str(path) if given_as in ("path", "name") else "")


def test_arrays_and_pillow_images_are_pages(make_picture: MakePicture) -> None:
    for source in (np.asarray(make_picture()), make_picture()):
        np.testing.assert_array_equal(_only(source).pixels, np.asarray(make_picture()))


@pytest.mark.parametrize(("kind", "expected"), [("TIFF", [1, 2, 3]), ("PDF", [1, 2, 3])])
def test_all_pages_are_read_in_their_order(kind: str, expected: list[int], encode: Encode) -> None:
    pages = list(open_pages(encode(kind, 3)))
    assert [page.number for page in pages] == expected
    assert [_number(page) for page in pages] == expected


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_of_an_animation_the_first_frame_is_read(kind: str, encode: Encode) -> None:
    assert _number(_only(encode(kind, 3))) == 1


@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_a_picture_of_one_pixel_is_read(kind: str, encode: Encode) -> None:
    page = _only(encode(kind, size=(1, 1)))
    assert page.pixels is not None
    assert page.pixels.shape == (1, 1, 3)


def test_exif_orientation_is_applied_in_files_too(
    tmp_path: Path, make_picture: MakePicture
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "TIFF", "PNG", "WEBP"):
        make_picture().save(tmp_path / "turned", kind, exif=exif)
        pixels = _only(tmp_path / "turned").pixels
        assert pixels is not None
        assert pixels.shape == (80, 40, 3)
        np.testing.assert_allclose(pixels[2, -3].astype(int), RED, atol=6)


def test_smaller_versions_and_masks_in_a_tiff_are_no_pages(make_picture: MakePicture) -> None:
    buffer = io.BytesIO()
    thumbnail = make_picture(2)
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    make_picture(1).save(buffer, "TIFF", save_all=True, append_images=[thumbnail, make_picture(3)])
    pages = list(open_pages(buffer.getvalue()))
    assert [page.number for page in pages] == [1, 2]
    assert [_number(page) for page in pages] == [1, 3]
