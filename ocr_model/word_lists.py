"""The frequent words of languages."""

from typing import Annotated

from pydantic import AfterValidator

from ocr_model.errors import ConfigError


def frequent_words(language: str, num_words: int) -> list[str]:
    """Return the most frequent words of a language, the most frequent first, in lower case.

    Raises:
        ConfigError: There is no list of it; the message names those that there are.
    """
    from wordfreq import top_n_list  # noqa: PLC0415  # few need it, slow

    return list(top_n_list(require_known(language), num_words))


def require_known(language: str) -> str:
    """Return a language that has a list.

    Raises:
        ConfigError: As `frequent_words`.
    """
    from wordfreq import available_languages  # noqa: PLC0415  # few need it, slow

    # Of what it has not, wordfreq takes the nearest, and prints so.
    known = sorted(available_languages())
    if language not in known:
        raise ConfigError(f"no words of language {language!r}; there are {', '.join(known)}")
    return language


Language = Annotated[str, AfterValidator(require_known)]
"""A setting: a language that has a list."""
