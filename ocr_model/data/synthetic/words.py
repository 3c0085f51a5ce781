"""What rendered words say: a frequency list of a language, and numbers."""

import string
from functools import lru_cache
from zlib import crc32

import numpy as np
from wordfreq import top_n_list

from ocr_model.errors import ConfigError

_LEXICON_SIZE = 30_000
LONGEST = 12
ALPHABET = string.ascii_letters + string.digits
_NUMBER_SHARE = 0.1
_VALIDATION_SHARE = 10  # one word in this many is never trained on


def draw_word(rng: np.random.Generator, language: str, *, is_validation: bool) -> str:
    """Draw a word in lower, title or upper case, or a number.

    Whether a word is for training or validation is decided by its letters alone, so no word,
    in whatever case, is ever in both.
    """
    while True:
        if rng.random() < _NUMBER_SHARE:
            word = str(rng.integers(0, 10 ** int(rng.integers(1, 7))))
        else:
            lexicon = _lexicon(language)
            word = lexicon[int(rng.integers(len(lexicon)))]
        if (crc32(word.encode()) % _VALIDATION_SHARE == 0) == is_validation:
            break
    case = rng.integers(4)
    return (word, word.capitalize(), word.upper(), word)[case]


@lru_cache(maxsize=4)
def _lexicon(language: str) -> list[str]:
    try:
        words = top_n_list(language, _LEXICON_SIZE)
    except LookupError as error:
        raise ConfigError(f"data.language: {error}") from error
    return [word for word in words if word.isascii() and word.isalnum() and len(word) <= LONGEST]
