"""What pages say: sentences, titles, labels, amounts, dates, and the names of a receipt's rows.

All of it comes from the part of the lexicon and of the grammars that is asked for, word by word:
a page of training and one of validation share no word of three letters or digits or more.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from ocr_model.data.draws import Random, between, happens, pick, whole
from ocr_model.data.synthetic.fonts import FontCatalog, FontsConfig, load_fonts
from ocr_model.data.synthetic.words import (
    CaseShares,
    ContentShares,
    LexiconConfig,
    TextSampler,
    is_validation_text,
)

_COMMON = 400  # words that make up half of any text
_COMMON_SHARE = 0.5
_FREE_CHARS = 2  # shorter texts are in both parts
_ENDS = (".",) * 12 + ("?", "!", ":", ";")
_GRAMMARS = ("number", "code", "decimal", "price", "date", "address", "serial")

_LABELS = (
    "Name Date Address City State Phone Fax Email Number Account Amount Total Signature Title "
    "Code Department Description Quantity Type Reference Remarks Company Country Supervisor Cost "
    "Comments Approved Received Period Region Brand Product Manager Unit Price Budget Project"
)
_RECEIPT_LABELS = (
    "TOTAL SUBTOTAL CASH CHANGE TAX GST VAT ROUNDING DISCOUNT QTY ITEM PRICE AMOUNT INVOICE "
    "CASHIER TABLE RECEIPT DATE TIME VISA MASTERCARD BALANCE MEMBER TEL FAX NET GROSS PAYMENT "
    "SERVICE SALES TENDER Total Cash Change Subtotal Date Cashier Invoice Tax Amount Rounding"
)
LABELS = tuple(_LABELS.split())
RECEIPT_LABELS = tuple(_RECEIPT_LABELS.split())


class Texts:
    """The samplers of a lexicon, one per kind of text."""

    def __init__(self, lexicon: LexiconConfig, fonts: FontCatalog) -> None:
        """Load the lexicon.

        Raises:
            ConfigError: The file or language is missing, or no word is left.
        """
        lower = CaseShares(lower=1, title=0, upper=0, mixed=0)
        only_words = lexicon.replace(shares=_only("word"), case=lower)
        self.words = TextSampler(only_words, fonts)
        self.common = TextSampler(_shortened(only_words, _COMMON), fonts)
        self.grammars = {
            name: TextSampler(
                # All but addresses are without words, so one is enough to load.
                _shortened(
                    only_words.replace(shares=_only(name)),
                    lexicon.size if name == "address" else 1,
                ),
                fonts,
            )
            for name in _GRAMMARS
        }
        letters = set(self.words.alphabet)
        self.alphabet = "".join(sorted(letters | set(self.grammars["serial"].alphabet)))
        """All characters that pages may have."""


def _shortened(lexicon: LexiconConfig, size: int) -> LexiconConfig:
    """Take the most frequent words only; a file has no such order."""
    if lexicon.path is not None:
        return lexicon
    return lexicon.replace(size=min(size, lexicon.size))


@lru_cache(maxsize=4)
def load_texts(lexicon: LexiconConfig, fonts: FontsConfig) -> Texts:
    """Load the texts of a lexicon; once per process.

    Raises:
        ConfigError: Fonts, file or language are missing, or no word is left.
    """
    return Texts(lexicon, load_fonts(fonts))


class Wording:
    """Draws what one page says; the generator decides everything."""

    def __init__(self, texts: Texts, rng: Random, *, is_validation: bool) -> None:
        self._texts, self._rng, self._is_validation = texts, rng, is_validation

    def word(self) -> str:
        """Draw a word in small letters; half of the time one of the most common."""
        texts = self._texts
        sampler = texts.common if happens(self._rng, _COMMON_SHARE) else texts.words
        return sampler.draw(self._rng, is_validation=self._is_validation)

    def name(self) -> str:
        """Draw a rare word with a capital."""
        word = self._texts.words.draw(self._rng, is_validation=self._is_validation)
        return word[:1].upper() + word[1:]

    def sentence(self) -> list[str]:
        """Draw words with marks as in running text."""
        rng = self._rng
        words = [self._sentence_word() for _ in range(3 + whole(rng, 16))]
        words[0] = words[0][:1].upper() + words[0][1:]
        for place in range(1, len(words) - 1):
            if happens(rng, 0.08):
                words[place] += ","
        if len(words) > 6 and happens(rng, 0.1):
            first = 1 + whole(rng, len(words) - 4)
            marks = pick(rng, ("()", '""', "[]"))
            words[first] = marks[0] + words[first]
            words[first + 2] += marks[1]
        words[-1] += pick(rng, _ENDS)
        return words

    def title(self, num_words: int) -> str:
        """Draw words in capitals, or each with one."""
        words = [self.word() for _ in range(num_words)]
        if happens(self._rng, 0.4):
            return " ".join(words).upper()
        return " ".join(word[:1].upper() + word[1:] for word in words)

    def label(self, options: Sequence[str] = LABELS) -> str:
        """Draw the name of a field: of the usual ones, or of others, with up to three words."""
        rng = self._rng
        usual = [option for option in options if self._is_ours(option)]
        if usual and happens(rng, 0.5):
            label = pick(rng, usual)
            return label if happens(rng, 0.7) else f"{label} {self.word()}"
        return self.title(1 + whole(rng, 3))

    def grammar(self, kind: str) -> str:
        """Draw a number, code, decimal, price, date, address or serial, as one word."""
        while True:
            text = self._texts.grammars[kind].draw(self._rng, is_validation=self._is_validation)
            if " " not in text:
                return text

    def amount(self, digits: int = 4, *, places: int = 2) -> str:
        """Draw an amount of money, as columns have it."""
        rng = self._rng
        return self._made(lambda: f"{between(rng, 0, 10 ** (1 + whole(rng, digits))):,.{places}f}")

    def money(self, currency: str) -> str:
        """Draw an amount with a currency before it."""
        rng = self._rng
        return self._made(lambda: f"{currency}{between(rng, 0, 10 ** (1 + whole(rng, 3))):,.2f}")

    def quantity(self) -> str:
        """Draw a small number."""
        return self._made(lambda: str(1 + int(between(self._rng, 0, 1) ** 3 * 40)))

    def phone(self) -> str:
        """Draw a telephone number."""
        rng = self._rng
        form = pick(rng, ("{0}-{1:03}-{2:04}", "+{0}{1:03}{2:04}", "0{0}-{1:03}{2:04}"))
        return self._made(
            lambda: form.format(10 + whole(rng, 890), whole(rng, 1000), whole(rng, 10_000))
        )

    def _sentence_word(self) -> str:
        rng = self._rng
        if happens(rng, 0.05):
            return self.grammar(pick(rng, ("number", "date", "price", "code", "decimal")))
        word = self.name() if happens(rng, 0.06) else self.word()
        return word.upper() if happens(rng, 0.02) else word

    def _made(self, make: Callable[[], str]) -> str:
        while True:
            text = make()
            if self._is_ours(text):
                return text

    def _is_ours(self, text: str) -> bool:
        if sum(char.isalnum() for char in text) <= _FREE_CHARS:
            return True
        return is_validation_text(text) == self._is_validation


def _only(kind: str) -> ContentShares:
    return ContentShares(**{name: float(name == kind) for name in ContentShares.model_fields})
