"""What the parts of the application send each other; no torch, so that the ingress stays small."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ConfigDict

from ocr_model.image import Pixels
from ocr_model.inference.pages import Page

Orientation = Literal["any", "upright"]
WordOrientations = Literal["upright", "vertical", "plausible"]
"""As `ReadOptions` has them, whose module imports torch."""
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
    language: str | None = None
    """Such as `en`: its frequent words are likelier; empty: none. None is what is configured for
    pages, and else none."""
    orientations: WordOrientations = "vertical"
    second_look_below: float = 0.95
    """As `ReadOptions` has it."""


@dataclass(frozen=True, slots=True)
class PageOptions:
    """How documents are read."""

    words: WordOptions = WordOptions()
    orientation: Orientation = "any"
    pages: str = ""
    """Such as `1-3,7`; empty: all."""
    dpi: float | None = None
    """Of PDFs; None: as configured."""
    min_confidence: float | None = None
    """None: as configured."""


@dataclass(frozen=True, slots=True)
class WordJob:
    """Words of one request, or some of them."""

    images: Sequence[bytes | Pixels]
    """Encoded, or cut out of a page."""
    options: WordOptions = WordOptions()

    def part(self, indices: Sequence[int]) -> "WordJob":
        """Return some of the words."""
        return WordJob([self.images[index] for index in indices], self.options)


@dataclass(frozen=True, slots=True)
class Reading:
    """The reading of one word image; callers get it as it is."""

    __pydantic_config__ = ConfigDict(
        use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )

    text: str
    confidence: float
    """Probability that the whole text is right."""
    char_confidences: tuple[float, ...]
    """One per character."""
    rotation: int = 0
    """Degrees clockwise by which the image was turned to be read."""
    error: str = ""
    """Why there is no reading, as `reason: detail`; empty where there is one."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a request cannot be done: the caller's doing, or that of a replica that is gone."""

    reason: FaultReason
    detail: str


REPLICA_GONE = Fault("unavailable", "the replica that had the request has ended; send it again")


WordsAnswer = list[Reading] | Fault
PagesAnswer = list[Page] | Fault
UserConfig = dict[str, Any]
"""What Ray Serve hands to `reconfigure`: plain JSON."""
