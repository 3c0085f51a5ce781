"""The frequent words of languages."""

from ocr_model.errors import ConfigError


def frequent_words(language: str, num_words: int) -> list[str]:
    """Return the most frequent words of a language, the most frequent first, in lower case.

    Raises:
        ConfigError: There is no list of it; the message names those that there are.
    """
    from wordfreq import available_languages, top_n_list  # noqa: PLC0415  # few need it, slow

    # Of what it has not, wordfreq takes the nearest, and prints so.
    known = sorted(available_languages())
    if language not in known:
        raise ConfigError(f"no words of language {language!r}; there are {', '.join(known)}")
    return list(top_n_list(language, num_words))
