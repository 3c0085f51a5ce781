"""The HTTP interface in types: what a request may ask, and what it is answered."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ocr_model.inference.bulk.progress import BatchProgress
from ocr_model.word_lists import require_known

from .messages import Orientation, PageOptions, Reading, WordOptions, WordOrientations

PageFormat = Literal["json", "text", "hocr", "alto", "pdf"]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)


_AnyLanguage = Annotated[
    str, Field(max_length=8), AfterValidator(lambda name: name and require_known(name))
]


class WordQuery(_Message):
    """Parameters of reading words."""

    model: str = Field("", max_length=64)
    """A name of `/v1/models`; empty: the default."""
    characters: str | None = Field(None, min_length=1, max_length=1000)
    """The only ones that may be read, such as `0123456789`."""
    lexicon: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=10_000)] = []
    """May be repeated: words that a reading must be among."""
    lexicon_bonus: float | None = Field(None, ge=0, le=100)
    """With it, other words can be read too; the lexicon's gain so much in log probability."""
    language: _AnyLanguage | None = None
    """Such as `en`: its frequent words are likelier; not beside a lexicon. Empty: none. By default
    pages, where no lexicon and no characters are given, have the one that is configured."""

    @model_validator(mode="after")
    def _settings_have_effect(self) -> "WordQuery":
        if self.lexicon_bonus is not None and not self.lexicon:
            raise ValueError("lexicon_bonus has no effect without a lexicon")
        if self.language and self.lexicon:
            raise ValueError("language has no effect beside a lexicon")
        return self

    def word_options(self) -> WordOptions:
        """Return what the recogniser is told."""
        return WordOptions(
            model=self.model,
            characters=self.characters,
            lexicon=tuple(self.lexicon),
            lexicon_bonus=self.lexicon_bonus,
            language=self.language,
        )


class RecognizeQuery(WordQuery):
    """Parameters of `/v1/recognize`."""

    orientations: WordOrientations = "vertical"
    """upright: as it is given. vertical: pictures that stand high are also read turned to both
    sides; others cost nothing. plausible: others also upside down, which takes twice as long."""

    def word_options(self) -> WordOptions:
        """Return what the recogniser is told."""
        return replace(super().word_options(), orientations=self.orientations)


class OcrQuery(WordQuery):
    """Parameters of `/v1/ocr`."""

    format: PageFormat = "json"
    orientation: Orientation = "any"
    """any: pages that lie on a side or upside down are read too."""
    pages: str = Field("", max_length=200)
    """Such as `1-3,7,12-`, from 1; empty: all."""
    dpi: float | None = Field(None, ge=10, le=2400)
    """That a PDF's pages are rendered at."""
    min_confidence: float | None = Field(None, ge=0, le=1)
    """Readings that are less sure are left out; by default as the service is configured."""

    def page_options(self) -> PageOptions:
        """Return what the detector is told."""
        return PageOptions(
            words=self.word_options(),
            orientation=self.orientation,
            pages=self.pages,
            dpi=self.dpi,
            min_confidence=self.min_confidence,
        )


class AttentionQuery(_Message):
    """Parameters of `/v1/attention`."""

    model: str = Field("", max_length=64)
    characters: str | None = Field(None, min_length=1, max_length=1000)


class ImagesBody(_Message):
    """Words as JSON."""

    images: list[str] = Field(min_length=1)
    """Each an encoded image (PNG, JPEG ...) in base64."""


class RecognizeAnswer(_Message):
    """The readings of a request's pictures, in their order."""

    words: list[Reading]


class AttentionAnswer(_Message):
    """Where each character of a word was seen."""

    text: str
    confidence: float
    char_confidences: list[float]
    width: int
    """Of the picture, in pixels."""
    height: int
    maps: list[list[list[float]]]
    """One per character: rows of values in [0, 1], over the whole picture; each has its own
    scale."""


class ModelAnswer(_Message):
    """A recogniser."""

    name: str
    bundle: str
    kind: str
    """What runs it: `torch`, `half`, `onnx` or `int8`."""
    architecture: str
    charset: str
    max_chars: int
    image_height: int
    image_width: int
    metrics: dict[str, float]
    weights_sha256: str


class ModelsAnswer(_Message):
    """All models that can be asked for."""

    default: str
    models: list[ModelAnswer]
    refused: str = ""
    """Why the models that were configured last could not be loaded; these went on."""


class HealthAnswer(_Message):
    """Whether it can be used."""

    status: Literal["ok"] = "ok"


class ProblemDocument(_Message):
    """An error (RFC 9457)."""

    type: str
    """`urn:ocr-on-ray:problem:` and the kind."""
    title: str
    status: int
    detail: str


class StreamedDocument(_Message):
    """A line of a streamed answer, of one file of the request; lines come as they are done."""

    index: int
    """Of the file in the request, from 0."""
    name: str
    """As the request named it."""
    pages: list[dict[str, object]] | None = None
    """As `docs/page.schema.json` says, or null where there is a problem."""
    problem: ProblemDocument | None = None


class BatchBody(_Message):
    """A bucket to be read by a job."""

    input: str = Field(min_length=1, max_length=2000)
    """A folder, or a bucket's prefix, below one that is allowed."""
    output: str = Field(min_length=1, max_length=2000)
    mode: Literal["pages", "words"] = "pages"
    """words: each image is one word."""


class BatchAnswer(_Message):
    """How far a job is."""

    id: str
    status: str
    """pending, running, stopped, succeeded or failed."""
    message: str
    """Ray's own."""
    progress: BatchProgress | None
    """Of the output; null where the service cannot read it."""
    log: str
    """The end of what it printed."""
