"""What a listing says of a file or an object."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or an object."""

    key: str
    """Below its place, with `/` between folders."""
    size: int
    """Bytes."""
    etag: str
    """Changes with the content; of a file, its time and size."""
