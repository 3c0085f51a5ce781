"""What a caller may ask of a reading."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field

from ocr_model.arguments import require_share, require_type
from ocr_model.decoding.lexicon import Lexicon
from ocr_model.decoding.options import DecodeOptions
from ocr_model.errors import ConfigError

HOPELESS = 0.4
"""How sure a reading is, on the average of its characters, below which it is mostly of no word, and
other looks help little; docs/reading.md has what was measured."""
_LEXICON_BEAMS = 5

Orientations = Literal["upright", "vertical", "plausible"]


def _require_effect(bound: float) -> float:
    if 0 < bound <= HOPELESS:
        raise ConfigError(
            f"second_look_below={bound} has no effect, as no word below {HOPELESS} is looked at "
            "again: take more than that, or 0 for one look at each"
        )
    return bound


SecondLook = Annotated[float, Field(ge=0, le=1), AfterValidator(_require_effect)]
"""`ReadOptions.second_look_below`, as a setting."""


@dataclass(frozen=True)
class ReadOptions:
    """How words are read; the default suits crops of horizontal and vertical words.

    Raises:
        ConfigError: A value is of another type, out of its range or without effect.
    """

    characters: str | None = None
    """The only ones that may be read, such as `0123456789`; None: all of the model's charset."""
    lexicon: Lexicon | None = None
    """Words that a reading must be among, or is likelier to be. They are normalised as the model's
    labels were."""
    num_beams: int | None = None
    """Prefixes that are kept for each word, which costs some times the decoder's time; None: 5 with
    a lexicon, else 1, which is greedy."""
    length_penalty: float = 0.0
    """Above 0, search favours longer readings; 1 compares by the probability per character."""
    orientations: Orientations = "vertical"
    """upright: as it is given. vertical: crops that stand high are also read turned to both sides,
    and the surest reading wins; others cost nothing. plausible: others also upside down, which
    takes twice as long."""
    splits_long: bool = True
    """Whether a word too wide for the model is read in parts that overlap; where not, it is
    squeezed. Models of stretched images take any width, and a lexicon has whole words only."""
    second_look_below: float = 0.95
    """Words whose characters are, on the average, less sure, but not below 0.4, are read twice
    more, wider and with a margin, and the surest reading wins; 0: none are. docs/reading.md has
    what both bounds bring."""

    def __post_init__(self) -> None:
        if self.orientations not in get_args(Orientations):
            known = ", ".join(get_args(Orientations))
            raise ConfigError(f"orientations={self.orientations!r} is not one of {known}")
        require_type("characters", self.characters, str, None)
        require_type("lexicon", self.lexicon, Lexicon, None)
        require_type("splits_long", self.splits_long, bool)
        require_share("second_look_below", self.second_look_below)
        _require_effect(self.second_look_below)
        if self.characters == "":
            raise ConfigError("characters is empty: nothing could be read")
        if self.num_beams == 1 and self.lexicon is not None:
            raise ConfigError("a lexicon needs num_beams of 2 or more: one beam loses its words")
        # Made once more by the recogniser, with what needs its charset.
        DecodeOptions(num_beams=self.beams, length_penalty=self.length_penalty)

    @classmethod
    def of_language(
        cls, language: str | None, orientations: Orientations, second_look_below: float
    ) -> "ReadOptions":
        """Return options with the frequent words of a language, or, where it is None, with none.

        Raises:
            ConfigError: There is no list of the language.
        """
        lexicon = None if language is None else Lexicon.of_language(language)
        return cls(lexicon=lexicon, orientations=orientations, second_look_below=second_look_below)

    @property
    def cuts_long_words(self) -> bool:
        """Whether long words are read in parts."""
        return self.splits_long and self.lexicon is None

    @property
    def beams(self) -> int:
        """How many are kept."""
        if self.num_beams is not None:
            return self.num_beams
        return 1 if self.lexicon is None else _LEXICON_BEAMS


AS_USUAL = ReadOptions()
UPRIGHT = ReadOptions(orientations="upright")
