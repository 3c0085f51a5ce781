"""A caller's lexicon, spelt as a model's labels are."""

import logging
from dataclasses import replace

from ocr_model.charset import Normalization, normalize
from ocr_model.decoding.lexicon import Lexicon
from ocr_model.errors import ConfigError

logger = logging.getLogger(__name__)


def normalized(lexicon: Lexicon, normalization: Normalization) -> Lexicon:
    """Return the words as labels have them, without those that would lose letters.

    Raises:
        ConfigError: Most would.
    """
    pairs = ((word, normalize(word, normalization)) for word in lexicon.words)
    kept = tuple(new for word, new in pairs if new and _num_letters(new) >= _num_letters(word))
    num_lost = len(lexicon.words) - len(kept)
    if 2 * num_lost > len(lexicon.words):
        raise ConfigError(
            f"words of the lexicon cannot be read, {num_lost} of {len(lexicon.words)}: the model's "
            f"labels ({normalization}) have not their letters"
        )
    if num_lost:
        logger.warning("%d words of the lexicon have letters that labels lack", num_lost)
    return replace(lexicon, words=kept)


def _num_letters(word: str) -> int:
    return sum(map(str.isalnum, word))
