"""Text to class ids and back: named normalisation policies, a vocabulary, special tokens."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ocr_model.errors import CharsetError

SPECIAL_TOKENS = ("<PAD>", "<UNK>", "<SOS>", "<EOS>", "<BLANK>")
PAD, UNK, SOS, EOS, BLANK = range(len(SPECIAL_TOKENS))

# Typographic signs that NFKD leaves alone, and the ASCII that people type for them.
_ASCII_FORMS = str.maketrans(
    {"‘": "'", "’": "'", "‚": ",", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "−": "-"}
    | {"‐": "-", "‑": "-", "⁄": "/", "′": "'", "″": '"', "•": "*", "·": ".", "×": "x"}
    | {"Æ": "AE", "æ": "ae", "Œ": "OE", "œ": "oe", "Ø": "O", "ø": "o", "Đ": "D", "đ": "d"}
    | {"ß": "ss", "Ł": "L", "ł": "l", "ı": "i"}
)


class Normalization(StrEnum):
    """Which characters of a label are kept.

    All policies start from NFKD, so that ligatures, full-width forms and composed accents have
    one spelling.
    """

    ALPHANUMERIC = "alphanumeric"
    """ASCII letters and digits, as in MJSynth; accents are stripped, all else is removed."""
    PRINTABLE = "printable"
    """The 95 printable ASCII characters; accents are stripped, quotes and dashes become ASCII."""
    UNICODE = "unicode"
    """Everything that can be seen, accents kept and composed again (NFC); controls removed."""


def normalize(text: str, policy: Normalization) -> str:
    """Return `text` as `policy` wants it, white space collapsed to single blanks."""
    if text.isascii() and text.isalnum():
        return text
    decomposed = unicodedata.normalize("NFKD", text)
    if policy is Normalization.UNICODE:
        visible = (c for c in decomposed if c.isspace() or unicodedata.category(c)[0] != "C")
        return " ".join(unicodedata.normalize("NFC", "".join(visible)).split())
    letters = "".join(c for c in decomposed if not unicodedata.combining(c))
    letters = letters.translate(_ASCII_FORMS)
    if policy is Normalization.ALPHANUMERIC:
        return "".join(c for c in letters if c.isascii() and c.isalnum())
    return " ".join("".join(c for c in letters if c.isspace() or " " <= c <= "~").split())


@dataclass(frozen=True)
class Charset:
    """A vocabulary of single characters behind the special tokens.

    Class ids `0..4` are `<PAD> <UNK> <SOS> <EOS> <BLANK>` (the last is the CTC blank); `characters`
    follow in their order.
    """

    characters: str

    def __post_init__(self) -> None:
        repeated = sorted({c for c in self.characters if self.characters.count(c) > 1})
        if not self.characters or repeated:
            raise CharsetError(
                f"a charset needs characters, each once; got {len(self.characters)}"
                + (f", repeated: {repeated}" if repeated else "")
            )
        first = len(SPECIAL_TOKENS)
        object.__setattr__(
            self, "_ids", {char: i for i, char in enumerate(self.characters, start=first)}
        )

    @classmethod
    def from_labels(cls, labels: Iterable[str]) -> "Charset":
        """Collect the characters of `labels`, in code point order.

        Raises:
            CharsetError: There is no character in any label.
        """
        return cls("".join(sorted(set().union(*labels))))

    @property
    def num_classes(self) -> int:
        """Characters and special tokens together."""
        return len(SPECIAL_TOKENS) + len(self.characters)

    def encode(self, text: str, *, allow_unknown: bool = False) -> list[int]:
        """Return one class id per character, without `<SOS>` and `<EOS>`.

        Args:
            text: Normalised text.
            allow_unknown: Give `<UNK>` for a character that is not in the vocabulary.

        Raises:
            CharsetError: A character is not in the vocabulary; the message names all of them.
        """
        ids: dict[str, int] = self._ids  # type: ignore[attr-defined]  # set in __post_init__
        try:
            return [ids[char] for char in text]
        except KeyError:
            if allow_unknown:
                return [ids.get(char, UNK) for char in text]
        unknown = " ".join(f"{c!r} (U+{ord(c):04X})" for c in sorted(set(text) - set(ids)))
        raise CharsetError(
            f"{text!r} has characters outside the vocabulary of {len(ids)}: {unknown}"
        )

    def decode(self, class_ids: Sequence[int]) -> str:
        """Return the text of `class_ids`; special tokens are left out.

        Raises:
            CharsetError: An id is not a class.
        """
        first = len(SPECIAL_TOKENS)
        wrong = [i for i in class_ids if not 0 <= i < self.num_classes]
        if wrong:
            raise CharsetError(f"class ids {wrong} are outside 0..{self.num_classes - 1}")
        return "".join(self.characters[i - first] for i in class_ids if i >= first)
