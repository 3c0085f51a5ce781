"""Bytes to pixels to model input: the one preprocessing that training, batch and serving call.

Nothing here imports torch: data workers stay small. Pixels stay uint8 until the device.
"""

import io
import struct
import warnings
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import PREFIXES, TiffImageFile
from pydantic import Field, PositiveInt

from ocr_model.config import Config
from ocr_model.errors import ImageError
from ocr_model.jpeg import check_scans, is_plain_jpeg, jpeg_size
from ocr_model.picture_formats import FORMATS
from ocr_model.tiff import walk_directories

ImageInput = bytes | bytearray | memoryview | np.ndarray | Image.Image
Pixels = UInt8[np.ndarray, "height width 3"]
ModelInput = UInt8[np.ndarray, "input_height input_width 3"]
"""Pixels of the geometry's size."""

MAX_PIXELS = 50_000_000
"""Largest picture that is decoded, in pixels (an A4 page at 600 dpi has 35 million)."""

WIDTH_STEP = 16
"""Pixels; batches are as wide as multiples of it, so that there are few shapes."""

PADDING_VALUE = 127
"""Grey of the columns behind an image that is padded."""

_JPEG_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
_TIFF_STARTS = tuple(PREFIXES)
_TIFF_TILE_TAGS = 322, 323  # TIFF 6.0, section 15: width, height
_PNG_START, _PNG_SIZE = b"\x89PNG\r\n\x1a\n", struct.Struct(">16x2L")  # width, height


class ImageGeometry(Config):
    """The shape that every word image is brought to."""

    height: int = Field(32, ge=8)
    """Pixels; 32 as in nearly all word recognition since CRNN (arXiv:1507.05717)."""
    width: PositiveInt = 128
    """Pixels; with `fit=pad` the widest that an image may become."""
    fit: Literal["stretch", "pad"] = "stretch"
    """stretch: every image fills the width. pad: aspect kept, the rest padded and masked."""


def decode_image(image: ImageInput, *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Return any picture as RGB, upright.

    Encoded bytes are of one of `picture_formats.FORMATS`; a Pillow image is of any, and only its
    pixels are bounded. EXIF orientation is applied, a palette is looked up, transparency is laid
    over white, CMYK is converted, 16 bit is scaled to 8 (Pillow's mode `I`, which does not say its
    range, where a value is above 255), the first frame is taken. An array is RGB, RGBA or grey,
    uint8 or uint16. Plain JPEGs are decoded by OpenCV, four times as fast as by Pillow: 19 against
    76 µs for a word of 1.9 kB.

    Raises:
        ImageError: Not a picture, cut short, empty, or more than `max_pixels` (known from the
            header, before anything is decoded), or than `jpeg.MOST_SCANS` or `tiff.MOST_ENTRIES`.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image)
    given: object = image  # whatever a caller without a type checker may pass
    if not isinstance(given, bytes | bytearray | memoryview | Image.Image):
        detail = f"{type(given).__name__}, expected encoded bytes, an array, or a Pillow image"
        raise ImageError("not_an_image", detail)
    if not isinstance(image, Image.Image):
        if not len(image):
            raise ImageError("empty", "zero bytes")
        image = image.tobytes() if isinstance(image, memoryview) else image
        plain = _decode_plain_jpeg(image, max_pixels)
        if plain is not None:
            return plain
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of bombs and odd EXIF; we check sizes
            with _opened(image) as opened:
                _check_size(opened, max_pixels)
                return _to_rgb(opened)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError("too_large", f"at most {max_pixels} pixels") from error
    except Exception as error:  # a border: Pillow's plugins raise anything
        reason = "truncated" if "truncated" in str(error) else "undecodable"
        raise ImageError(reason, f"{type(error).__name__}: {error}") from error


def _decode_plain_jpeg(data: bytes | bytearray, max_pixels: int) -> Pixels | None:
    """Decode by OpenCV what is complete, regular, grey or colour, of 8 bits, and without EXIF.

    Everything else is None, for Pillow to read or to say what is wrong with it.
    """
    if not is_plain_jpeg(data, max_pixels):
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), _JPEG_FLAGS)
    except cv2.error:
        return None


def size_in_header(data: bytes) -> tuple[int, int]:
    """Return height and width of a PNG or a JPEG as the header says, or zeros; nothing is decoded.

    Of what strangers send this takes 1 to 2 µs, where Pillow may unpack parts of it.
    """
    if data.startswith(_PNG_START) and len(data) >= _PNG_SIZE.size:
        width, height = _PNG_SIZE.unpack_from(data)
        return height, width
    return jpeg_size(data)


def _opened(image: bytes | bytearray | Image.Image) -> AbstractContextManager[Image.Image]:
    """Open encoded bytes; leave a Pillow image, which is its owner's to close."""
    if isinstance(image, Image.Image):
        return nullcontext(image)
    check_scans(image)
    if image.startswith(_TIFF_STARTS):
        next(walk_directories(io.BytesIO(image)))
    try:
        return Image.open(io.BytesIO(image), formats=FORMATS)
    except UnidentifiedImageError as error:
        is_pdf = image.startswith(b"%PDF-")
        what = "a PDF, not a picture" if is_pdf else f"{len(image)} bytes of an unknown format"
        raise ImageError("not_an_image", what) from error


def _check_size(image: Image.Image, max_pixels: int) -> None:
    sizes = [image.size]
    if isinstance(image, TiffImageFile):  # each tile is decoded whole, however small the picture
        width, height = (image.tag_v2.get(tag, 0) for tag in _TIFF_TILE_TAGS)
        if isinstance(width, int) and isinstance(height, int):
            sizes.append((width, height))
    for width, height in sizes:
        if width * height > max_pixels:
            raise ImageError("too_large", f"{width}x{height}, at most {max_pixels} pixels")


def fit_image(pixels: Pixels, geometry: ImageGeometry) -> tuple[ModelInput, int]:
    """Scale `pixels` to the geometry.

    Returns:
        The image, height x width, and the number of its columns that hold picture (the rest is
        padding on the right).
    """
    content_width = content_columns(pixels.shape[0], pixels.shape[1], geometry)
    content = resize_image(pixels, geometry.height, content_width)
    return pad_image(content, geometry), content_width


def resize_image(
    pixels: Pixels, height: int, width: int
) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """Scale to a size: first by area the sides that shrink, then linearly those that grow.

    Both at once, OpenCV would read two of the pixels that become one, and skip the others.
    """
    old_height, old_width = pixels.shape[:2]
    if old_height > height or old_width > width:
        smaller = (min(old_width, width), min(old_height, height))
        pixels = cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA)
        if smaller == (width, height):
            return pixels
    return cv2.resize(pixels, (width, height))  # a copy where the size fits


def pad_image(content: Pixels, geometry: ImageGeometry) -> ModelInput:
    """Fill up the width on the right; content of the full width is returned as it is."""
    width = content.shape[1]
    if width == geometry.width:
        return content
    padded = np.full((geometry.height, geometry.width, 3), PADDING_VALUE, np.uint8)
    padded[:, :width] = content
    return padded


def padded_width(width: int) -> int:
    """Return the width of a batch that holds so wide an image."""
    return -(-width // WIDTH_STEP) * WIDTH_STEP


def content_columns(height: int, width: int, geometry: ImageGeometry) -> int:
    """Return how many columns of the model input an image of this size fills."""
    if geometry.fit == "stretch":
        return geometry.width
    return max(1, min(geometry.width, round(width * geometry.height / height)))


def _from_array(array: np.ndarray) -> Pixels:
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ImageError(
            "bad_array", f"shape {array.shape}, expected (h, w), (h, w, 3) or (h, w, 4)"
        )
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ImageError("bad_array", f"dtype {array.dtype}, expected uint8 or uint16")
    if array.ndim == 2 or array.shape[2] == 1:
        return cv2.cvtColor(array, cv2.COLOR_GRAY2RGB)
    if array.shape[2] == 3:
        return np.ascontiguousarray(array)
    if array.shape[2] == 4:
        return _to_rgb(Image.fromarray(array, "RGBA"))
    raise ImageError("bad_array", f"{array.shape[2]} channels, expected 1, 3 or 4")


def _to_rgb(image: Image.Image) -> Pixels:
    image.load()
    image = ImageOps.exif_transpose(image)
    if 0 in image.size:
        raise ImageError("empty", f"{image.width}x{image.height} pixels")
    if image.mode.startswith("I"):  # 16 bit; Pillow's own conversion clips instead of scaling
        wide = np.asarray(image).astype(np.int64)
        if image.mode != "I" or wide.max() > 255:  # `I` is 32 bit, whatever the picture had
            wide >>= 8
        scaled = np.clip(wide, 0, 255).astype(np.uint8)
        return _from_array(scaled)
    if image.mode == "F":
        raise ImageError("undecodable", "floating-point pixels have no defined range")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(canvas, rgba)
    return np.asarray(image.convert("RGB"))
