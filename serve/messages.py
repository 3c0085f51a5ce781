"""What the parts of the application send each other; no torch, so that the ingress stays small."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ocr_model.image import Pixels
from ocr_model.inference.pages import Page

Orientation = Literal["any", "upright"]
WordOrientations = Literal["upright", "plausible"]
FaultReason = Literal[
    "unknown_model",
    "bad_setting",
    "no_attention",
    "bad_image",
    "overloaded",
    "unavailable",
    "timeout",
]


@dataclass(frozen=True, slots=True)
class WordOptions:
    """How words are read; requests of equal options share batches."""

    model: str = ""
    """A name of the configuration; empty: its default."""
    characters: str | None = None
    """The only ones that may be read; None: all of the model's charset."""
    lexicon: tuple[str, ...] = ()
    """Words that a reading must be among, or is likelier to be; empty: any."""
    lexicon_bonus: float | None = None
    """None: nothing but the lexicon is read. Else what its words gain in log probability."""
    orientations: WordOrientations = "upright"


@dataclass(frozen=True, slots=True)
class PageOptions:
    """How documents are read."""

    words: WordOptions = WordOptions()
    orientation: Orientation = "any"
    pages: str = ""
    """Such as `1-3,7`; empty: all."""
    dpi: float | None = None
    """Of PDFs; None: as configured."""
    min_confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class WordJob:
    """Words of one request, which stay together."""

    images: Sequence[bytes | Pixels]
    """Encoded, or cut out of a page."""
    options: WordOptions = WordOptions()


@dataclass(frozen=True, slots=True)
class Reading:
    """The reading of one word image."""

    text: str
    confidence: float
    char_confidences: tuple[float, ...]
    rotation: int = 0
    """Degrees clockwise by which the image was turned to be read."""
    error: str = ""
    """Why there is no reading, as `reason: detail`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request cannot be done: the caller's doing, or that of a replica that is gone."""

    reason: FaultReason
    detail: str


@dataclass(frozen=True, slots=True)
class Attention:
    """A word, its reading, and where each of its characters was seen."""

    reading: Reading
    width: int
    """Of the image, in pixels."""
    height: int
    maps: list[list[list[float]]]
    """Character, row, column, over the whole image, in [0, 1]; each has its own scale."""


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """A recogniser that can be asked for by name."""

    name: str
    bundle: str
    kind: str
    architecture: str
    charset: str
    max_chars: int
    image_height: int
    image_width: int
    metrics: dict[str, float] = field(default_factory=dict)
    weights_sha256: str = ""


WordsAnswer = list[Reading] | Fault
PagesAnswer = list[Page] | Fault
UserConfig = dict[str, Any]
"""What Ray Serve hands to `reconfigure`: plain JSON."""
