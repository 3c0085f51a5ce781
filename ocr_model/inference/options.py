"""What a caller may ask of a reading."""

from dataclasses import dataclass
from typing import Literal

from ocr_model.errors import ConfigError


@dataclass(frozen=True)
class ReadOptions:
    """How words are read; the default suits crops of upright words."""

    characters: str | None = None
    """The only ones that may be read, such as `0123456789`; None: all of the model's charset."""
    orientations: Literal["upright", "plausible"] = "upright"
    """plausible: also upside down, and high crops turned to both sides; the surest reading wins.
    Takes two or three times as long."""
    splits_long: bool = True
    """Whether a word too wide for the model is read in parts that overlap; where not, it is
    squeezed. Models of stretched images take any width."""

    def __post_init__(self) -> None:
        if self.characters == "":
            raise ConfigError("characters is empty: nothing could be read")


UPRIGHT = ReadOptions()
