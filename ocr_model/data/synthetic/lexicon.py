"""The words of languages or of a file, as far as fonts can draw them."""

import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ocr_model.data.synthetic.fonts import FontCatalog
from ocr_model.errors import ConfigError
from ocr_model.word_lists import frequent_words

logger = logging.getLogger(__name__)

_FEWEST = 0.1  # share of words of a fit length, below which the fonts are not the lexicon's
_RARE = 0.003  # a letter in fewer of a list's words is of another language


@lru_cache(maxsize=4)
def words_of_file(path: str) -> tuple[str, ...]:
    """Return the lines of a text file, each once.

    Raises:
        ConfigError: It cannot be read, or is empty.
    """
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"data.lexicon.path {path}: {reason}") from error
    words = _tidied(line for line in lines if line.strip())
    if not words:
        raise ConfigError(f"data.lexicon.path {path} has no words in it")
    return words


@lru_cache(maxsize=4)
def words_of_languages(languages: tuple[str, ...], size: int, marks: str) -> tuple[str, ...]:
    """Return the most frequent words that are in their language's own letters, each once.

    Args:
        languages: As wordfreq names them.
        size: Words of each language that are looked at.
        marks: What words may have beside letters.

    Raises:
        ConfigError: There is no list of a language.
    """
    return _tidied(word for name in languages for word in _frequent_words(name, size, marks))


@lru_cache(maxsize=4)
def drawable_words(listed: tuple[str, ...], fonts: FontCatalog, max_chars: int) -> tuple[str, ...]:
    """Return the words that any face can draw and that are not too long; say what was lost.

    Raises:
        ConfigError: None, or next to none, is left.
    """
    chars = set("".join(listed))
    chars.update(*(char.upper() for char in chars))  # one capital may be two characters
    undrawable = {char for char in chars if not fonts.can_draw(char)}
    kept, dropped = [], Counter[str]()
    for word in listed:
        reason = _fault(word, undrawable, max_chars)
        dropped[reason] += 1
        if not reason:
            kept.append(word)
    lost = dropped["no_glyph"] + dropped["needs_shaping"]
    account = ", ".join(f"{n} {reason}" for reason, n in sorted(dropped.items()) if reason)
    if not kept or len(kept) < _FEWEST * (len(listed) - dropped["too_long"]):
        raise ConfigError(
            f"data.lexicon: only {len(kept)} of {len(listed)} words can be used ({account}): "
            "letters are set one by one, from left to right, in data.renderer.fonts"
        )
    if lost:
        logger.warning("data.lexicon: %d of %d words used (%s)", len(kept), len(listed), account)
    return tuple(kept)


def _frequent_words(language: str, size: int, marks: str) -> list[str]:
    listed = frequent_words(language, size)
    counts = Counter(char for word in listed for char in set(word))
    own = {c for c, n in counts.items() if c in marks or (c.isalpha() and n > _RARE * len(listed))}
    return [word for word in listed if own.issuperset(word) and word.strip(marks)]


def _tidied(lines: Iterable[str]) -> tuple[str, ...]:
    words = (unicodedata.normalize("NFC", " ".join(line.split())) for line in lines)
    return tuple(dict.fromkeys(words))


def _fault(word: str, undrawable: set[str], max_chars: int) -> str:
    if len(word) > max_chars:
        return "too_long"
    if any(unicodedata.bidirectional(c) in ("R", "AL") or unicodedata.combining(c) for c in word):
        return "needs_shaping"  # glyphs are placed one by one, from left to right
    if not undrawable.isdisjoint(word) or not undrawable.isdisjoint(word.upper()):
        return "no_glyph"
    return ""
