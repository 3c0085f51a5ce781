"""What is read as a picture: formats, the endings of their files, and their first bytes.

No other decoder sees what strangers send; of Pillow's, that of EPS starts Ghostscript.
"""

from typing import Literal

FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP")
"""As Pillow names them; its JPEG reads also the MPO of cameras."""

NAMES = "JPEG, PNG, TIFF, WebP, GIF, BMP"
"""As people do."""

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".gif", ".bmp")
"""In small letters."""

_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
JPEG_MARK = b"\xff\xd8\xff"
_IMAGE_MARKS = (JPEG_MARK, b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")


def picture_kind(head: bytes) -> Literal["tiff", "image"] | None:
    """Return what the first bytes say, a TIFF apart as it may have pages; None: no picture."""
    if head.startswith(_TIFF_MARKS):
        return "tiff"
    if head.startswith(_IMAGE_MARKS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return "image"
    return None
