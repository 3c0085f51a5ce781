"""What a listing says of a file or an object."""

from dataclasses import dataclass

from ocr_model.errors import ImageError


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or an object."""

    key: str
    """Below its place, with `/` between folders."""
    size: int
    """Bytes."""
    etag: str
    """Changes with the content; of a file, its time and size."""


def too_large(num_bytes: int, most_bytes: int) -> ImageError:
    """Return what is wrong with an object that is not to be downloaded."""
    return ImageError("too_large", f"{num_bytes} bytes, at most {most_bytes}")
