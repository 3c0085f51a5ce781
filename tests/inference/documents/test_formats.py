import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocr_model.inference.documents import PageImage, open_pages

Encode = Callable[..., bytes]
OnlyPage = Callable[..., PageImage]
NumberOf = Callable[[PageImage], int]
MakePicture = Callable[..., Image.Image]

RED = (255, 0, 0)
IMAGE_KINDS = ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP"]
KINDS = [*IMAGE_KINDS, "PDF"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given_as", ["bytes", "memoryview", "path", "name"])
def test_every_format_is_read_from_bytes_and_files_whatever_their_name(
    kind: str, given_as: str, tmp_path: Path, encode: Encode, only_page: OnlyPage
) -> None:
    data, path = encode(kind), tmp_path / "no_suffix"
    path.write_bytes(data)
    sources = {"bytes": data, "memoryview": memoryview(data), "path": path, "name": str(path)}
    page = only_page(sources[given_as])
    assert page.pixels is not None
    assert page.pixels.shape == (40, 80, 3)
    np.testing.assert_allclose(page.pixels[2, 2].astype(int), RED, atol=6)
    assert (page.number, page.error, page.warnings) == (1, "", ())
    assert page.source == (str(path) if given_as in ("path", "name") else "")


def test_arrays_and_pillow_images_are_pages(make_picture: MakePicture, only_page: OnlyPage) -> None:
    for source in (np.asarray(make_picture()), make_picture()):
        np.testing.assert_array_equal(only_page(source).pixels, np.asarray(make_picture()))


@pytest.mark.parametrize(("kind", "expected"), [("TIFF", [1, 2, 3]), ("PDF", [1, 2, 3])])
def test_all_pages_are_read_in_their_order(
    kind: str, expected: list[int], encode: Encode, number_of: NumberOf
) -> None:
    pages = list(open_pages(encode(kind, 3)))
    assert [page.number for page in pages] == expected
    assert [number_of(page) for page in pages] == expected


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_of_an_animation_the_first_frame_is_read(
    kind: str, encode: Encode, only_page: OnlyPage, number_of: NumberOf
) -> None:
    assert number_of(only_page(encode(kind, 3))) == 1


@pytest.mark.parametrize("kind", IMAGE_KINDS)
def test_a_picture_of_one_pixel_is_read(kind: str, encode: Encode, only_page: OnlyPage) -> None:
    page = only_page(encode(kind, size=(1, 1)))
    assert page.pixels is not None
    assert page.pixels.shape == (1, 1, 3)


def test_exif_orientation_is_applied_in_files_too(
    tmp_path: Path, make_picture: MakePicture, only_page: OnlyPage
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for kind in ("JPEG", "TIFF", "PNG", "WEBP"):
        make_picture().save(tmp_path / "turned", kind, exif=exif)
        pixels = only_page(tmp_path / "turned").pixels
        assert pixels is not None
        assert pixels.shape == (80, 40, 3)
        np.testing.assert_allclose(pixels[2, -3].astype(int), RED, atol=6)


def test_smaller_versions_and_masks_in_a_tiff_are_no_pages(
    make_picture: MakePicture, number_of: NumberOf
) -> None:
    buffer = io.BytesIO()
    thumbnail = make_picture(2)
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    make_picture(1).save(buffer, "TIFF", save_all=True, append_images=[thumbnail, make_picture(3)])
    pages = list(open_pages(buffer.getvalue()))
    assert [page.number for page in pages] == [1, 2]
    assert [number_of(page) for page in pages] == [1, 3]
