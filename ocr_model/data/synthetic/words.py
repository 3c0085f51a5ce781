"""What rendered words say: words of a language or a file, and numbers, dates, codes by grammar."""

import string
from collections.abc import Callable
from zlib import crc32

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from ocr_model.config import Config
from ocr_model.data.draws import Random, Shares, happens, pick, whole
from ocr_model.data.synthetic import grammar
from ocr_model.data.synthetic.fonts import FontCatalog
from ocr_model.data.synthetic.lexicon import drawable_words, words_of_file, words_of_languages
from ocr_model.errors import ConfigError
from ocr_model.word_lists import Language

LONGEST = 32
_VALIDATION_SHARE = 10  # one text in this many is never trained on
_TRIES = 200
_SHORTEST_SPLIT = 3  # characters; of ten digits one would never be trained on
_OF_WORDS = ("word", "phrase", "address")  # their words are split, not the texts
_DOMAINS = ("com", "org", "net", "de", "co.uk", "io", "fr")
_MARKS_BEHIND = (".", ",", "!", "?", ":", ";", "...", "'s", "%", "*")
_MARKS_AROUND = ('""', "''", "()", "[]", "--", "<>", "{}", "//")


class ContentShares(Shares):
    """How often a text is of which kind."""

    word: NonNegativeFloat = 0.85
    number: NonNegativeFloat = 0.10
    code: NonNegativeFloat = 0.05
    """Capitals and digits, as on licence plates and parts."""
    decimal: NonNegativeFloat = 0.0
    """1,299.50 and -0.7."""
    price: NonNegativeFloat = 0.0
    date: NonNegativeFloat = 0.0
    """Dates and times."""
    address: NonNegativeFloat = 0.0
    """E-mail and web addresses."""
    serial: NonNegativeFloat = 0.0
    """Codes with any ASCII mark between their parts."""
    phrase: NonNegativeFloat = 0.0
    """Several words with spaces."""


class CaseShares(Shares):
    """How often a word is in which case."""

    lower: NonNegativeFloat = 0.35
    title: NonNegativeFloat = 0.25
    upper: NonNegativeFloat = 0.35
    mixed: NonNegativeFloat = 0.05
    """Each letter by chance."""


class LexiconConfig(Config):
    """What is written."""

    languages: tuple[Language, ...] = ("en",)
    """Languages of the frequency lists, as wordfreq names them."""
    size: PositiveInt = 30_000
    """The most frequent words of each language."""
    path: str | None = None
    """A UTF-8 text file with one word (or line of words) per line, instead of frequency lists."""
    max_chars: PositiveInt = Field(20, le=LONGEST)
    """Longer texts are not drawn."""
    shares: ContentShares = ContentShares()
    case: CaseShares = CaseShares()
    punctuation: float = Field(0.0, ge=0, le=1)
    """Share of words with marks behind or around them."""

    @model_validator(mode="after")
    def _settings_have_effect(self) -> "LexiconConfig":
        fields = type(self).model_fields
        for name in ("languages", "size"):
            if self.path is not None and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} has no effect where the words come from path={self.path}")
        return self


class TextSampler:
    """Draws texts. Those of training and of validation have no word in common.

    A word belongs to one of the two parts by its letters alone, in whatever case; a text by grammar
    as a whole, from three characters on.
    """

    def __init__(self, config: LexiconConfig, fonts: FontCatalog) -> None:
        """Load the lexicon and drop the words that cannot be drawn.

        Raises:
            ConfigError: The file or language is missing, or no word is left.
        """
        self._config = config
        words = drawable_words(_listed_words(config), fonts, config.max_chars)
        self._words = {
            part: tuple(word for word in words if is_validation_text(word) == part)
            for part in (False, True)
        }
        if config.shares.word or config.shares.phrase or config.shares.address:
            for part, found in self._words.items():
                if not found:
                    name = "validation" if part else "training"
                    raise ConfigError(
                        f"data.lexicon: none of its {len(words)} words is for {name}, which takes "
                        f"{'one' if part else 'nine'} in ten; give a longer list"
                    )
        self._by_length = {part: _group_by_length(found) for part, found in self._words.items()}
        self._kinds: dict[str, Callable[[Random, bool], str]] = {
            "word": self._word,
            "number": lambda rng, _: grammar.digits(rng, 1, 7),
            "code": lambda rng, _: grammar.code(rng),
            "decimal": lambda rng, _: grammar.decimal(rng),
            "price": lambda rng, _: grammar.price(rng),
            "date": lambda rng, _: grammar.date(rng),
            "address": self._address,
            "serial": lambda rng, _: grammar.serial(rng),
            "phrase": self._phrase,
        }

    @property
    def digest(self) -> str:
        """Name the words: the same wherever they are the same."""
        return f"{crc32(' '.join((*self._words[False], *self._words[True])).encode()):08x}"

    @property
    def alphabet(self) -> str:
        """All characters that texts may have, sorted."""
        shares = self._config.shares
        chars = set[str]()
        for word in (*self._words[False], *self._words[True]):
            chars.update(word.lower(), word.upper(), word.capitalize())
        if set(shares.kinds) - {"word", "phrase"}:
            chars.update(string.digits)
        if shares.code or shares.date or shares.serial:
            chars.update(string.ascii_uppercase)
        if any((shares.decimal, shares.price, shares.date, shares.address, shares.serial,
                self._config.punctuation)):  # fmt: skip
            chars.update(c for c in map(chr, range(33, 127)) if not c.isalnum())
        if shares.date or shares.price or shares.phrase:
            chars.add(" ")
        return "".join(sorted(chars))

    def draw(self, rng: Random, *, is_validation: bool) -> str:
        """Draw a text of at most `max_chars` characters."""
        return self.draw_of_kind(self.draw_kind(rng), rng, is_validation=is_validation)

    def draw_kind(self, rng: Random) -> str:
        """Draw a name of `ContentShares`."""
        return self._config.shares.draw(rng)

    def draw_of_kind(
        self,
        kind: str,
        rng: Random,
        *,
        is_validation: bool,
        like: str | None = None,
    ) -> str:
        """Draw a text of one kind; with `like` of as many characters, or, if none is found, itself.

        Raises:
            ConfigError: Texts of this kind are longer than `max_chars`.
        """
        for _ in range(_TRIES):
            if kind == "word" and like is not None and not self._config.punctuation:
                alike = self._by_length[is_validation].get(len(like), ())
                text = self._in_case(pick(rng, alike), rng) if alike else like
            else:
                text = self._kinds[kind](rng, is_validation)
            if len(text) > self._config.max_chars or (like and len(text) != len(like)):
                continue
            is_shared = kind in _OF_WORDS or len(text) < _SHORTEST_SPLIT
            if is_shared or is_validation_text(text) == is_validation:
                return text
        if like is not None:
            return like
        raise ConfigError(
            f"no text of kind {kind} has at most data.lexicon.max_chars={self._config.max_chars} "
            f"characters; set data.lexicon.shares.{kind}=0"
        )

    def _plain_word(self, rng: Random, is_validation: bool) -> str:
        return pick(rng, self._words[is_validation])

    def _word(self, rng: Random, is_validation: bool) -> str:
        word = self._in_case(self._plain_word(rng, is_validation), rng)
        if not happens(rng, self._config.punctuation):
            return word
        if happens(rng, 0.7):
            return word + pick(rng, _MARKS_BEHIND)
        marks = pick(rng, _MARKS_AROUND)
        return marks[0] + word + marks[1]

    def _in_case(self, word: str, rng: Random) -> str:
        match self._config.case.draw(rng):
            case "lower":
                return word.lower()
            case "title":
                return word[:1].upper() + word[1:].lower()
            case "upper":
                return word.upper()
            case _:
                return "".join(c.upper() if happens(rng, 0.5) else c.lower() for c in word)

    def _phrase(self, rng: Random, is_validation: bool) -> str:
        words = [self._word(rng, is_validation) for _ in range(2 + whole(rng, 3))]
        while len(words) > 2 and len(" ".join(words)) > self._config.max_chars:
            words.pop()
        return " ".join(words)

    def _address(self, rng: Random, is_validation: bool) -> str:
        name, domain = (self._plain_word(rng, is_validation).lower() for _ in range(2))
        ending = pick(rng, _DOMAINS)
        forms = (
            f"{name}@{domain}.{ending}", f"@{name}_{grammar.digits(rng, 1, 3)}",
            f"www.{domain}.{ending}", f"{domain}.{ending}/{name}", f"https://{domain}.{ending}",
        )  # fmt: skip
        return pick(rng, forms)


def _listed_words(config: LexiconConfig) -> tuple[str, ...]:
    if config.path is not None:
        return words_of_file(config.path)
    marks = "'-" if config.punctuation else ""
    return words_of_languages(config.languages, config.size, marks)


def _group_by_length(words: tuple[str, ...]) -> dict[int, list[str]]:
    groups: dict[int, list[str]] = {}
    for word in words:
        groups.setdefault(len(word), []).append(word)
    return groups


def is_validation_text(text: str) -> bool:
    """Say which part a text belongs to, in whatever case: Straße is STRASSE."""
    folded = text.upper().casefold()  # casefold alone leaves the dotless i, whose capital is I
    return crc32(folded.encode()) % _VALIDATION_SHARE == 0
