from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.charset import BLANK, EOS, PAD, SOS, UNK, Charset
from ocr_model.decoding.lexicon import OUTSIDE, Lexicon, Trie
from ocr_model.decoding.options import DecodeOptions
from ocr_model.errors import ConfigError

LETTERS = Charset("abc")
WORDS = st.lists(st.text("abc", max_size=4), min_size=1, max_size=12).map(tuple)


def compile_words(*words: str) -> Trie:
    return Trie.compile(Lexicon(words), LETTERS)


def walk(trie: Trie, text: str) -> int:
    """Return the state after a text."""
    state = trie.start(1)
    for class_id in LETTERS.encode(text):
        state = trie.advance(state, torch.tensor([class_id]))
    return int(state)


@settings(deadline=None, database=None)
@given(words=WORDS, prefixes=st.lists(st.text("abc", max_size=5), min_size=1, max_size=8))
def test_every_prefix_is_followed_as_the_list_of_words_says(
    words: tuple[str, ...], prefixes: list[str]
) -> None:
    trie = compile_words(*words)
    states = torch.tensor([walk(trie, prefix) for prefix in prefixes])
    follows, is_word = trie.may_follow(states), trie.is_word(states)
    assert follows.shape == (len(prefixes), LETTERS.num_classes)
    assert not follows[:, [PAD, UNK, SOS, EOS, BLANK]].any()
    for row, prefix in enumerate(prefixes):
        begins = any(word.startswith(prefix) for word in words)
        assert (states[row] != OUTSIDE) == begins
        assert is_word[row] == (prefix in words)
        for char in LETTERS.characters:
            expected = any(word.startswith(prefix + char) for word in words)
            assert follows[row, LETTERS.encode(char)[0]] == expected


@settings(deadline=None, database=None)
@given(words=WORDS, prefixes=st.lists(st.text("abc", max_size=4), min_size=1, max_size=8))
def test_all_children_are_where_one_step_leads(words: tuple[str, ...], prefixes: list[str]) -> None:
    trie = compile_words(*words)
    states = torch.tensor([walk(trie, prefix) for prefix in prefixes])
    children = trie.children(states)
    for class_id in range(LETTERS.num_classes):
        stepped = trie.advance(states, torch.full_like(states, class_id))
        assert torch.equal(children[:, class_id], stepped)


def test_a_prefix_is_one_node_for_all_its_words() -> None:
    trie = compile_words("abc", "ab", "aba", "ab", "c")
    assert len(trie.class_of) == len(["", "a", "c", "ab", "aba", "abc"])
    assert int(trie.ends_word.sum()) == trie.num_words == 4


def test_what_has_left_the_words_stays_outside() -> None:
    trie = compile_words("ab")
    assert walk(trie, "b") == walk(trie, "ba") == walk(trie, "bab") == OUTSIDE
    assert not trie.is_word(torch.tensor([OUTSIDE])).any()
    assert not trie.may_follow(torch.tensor([OUTSIDE])).any()


def test_the_empty_word_alone_can_be_compiled() -> None:
    trie = compile_words("")
    assert trie.is_word(trie.start(2)).tolist() == [True, True]
    assert not trie.may_follow(trie.start(2)).any()
    assert walk(trie, "a") == OUTSIDE


def test_words_that_cannot_be_written_are_left_out_and_counted() -> None:
    lexicon = Lexicon(("ab", "xy", "abcab", "cc", "ab"))
    trie = Trie.compile(lexicon, LETTERS, max_chars=4)
    assert (trie.num_words, trie.num_left_out) == (2, 2)
    is_allowed = torch.ones(LETTERS.num_classes, dtype=torch.bool)
    is_allowed[LETTERS.encode("c")] = False
    trie = Trie.compile(lexicon, LETTERS, max_chars=4, is_allowed=is_allowed)
    assert (trie.num_words, trie.num_left_out) == (1, 3)
    assert walk(trie, "c") == OUTSIDE


def test_a_lexicon_that_cannot_be_written_at_all_names_the_characters() -> None:
    with pytest.raises(ConfigError, match=r"2 words .*'x' \(U\+0078\) 'é' \(U\+00E9\)"):
        compile_words("ax", "éa")
    with pytest.raises(ConfigError, match="longer than 1 characters"):
        Trie.compile(Lexicon(("ab",)), LETTERS, max_chars=1)
    everything = Lexicon(tuple(map(chr, range(0x4E00, 0x4E40))))
    with pytest.raises(ConfigError, match="and 44 more"):
        Trie.compile(everything, LETTERS)


def test_any_case_adds_lower_case_initials_and_capitals() -> None:
    lexicon = Lexicon(("don't", "New york", "McKay"), any_case=True)
    assert {"don't", "Don't", "DON'T"} <= set(lexicon.forms())
    assert {"New york", "new york", "New York", "NEW YORK"} <= set(lexicon.forms())
    assert {"McKay", "mckay", "Mckay", "MCKAY"} <= set(lexicon.forms())
    assert set(Lexicon(("McKay",)).forms()) == {"McKay"}


def test_a_trie_is_the_same_on_another_device() -> None:
    trie = compile_words("ab", "c").to(torch.device("meta"))
    assert trie.class_of.device.type == trie.ends_word.device.type == "meta"
    assert trie.num_words == 2


def test_a_file_has_one_entry_per_line(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes("\ufeffstraße\r\n\r\n  New York \n\nab".encode())
    lexicon = Lexicon.from_file(path, any_case=True, bonus=2.0)
    assert lexicon == Lexicon(("straße", "New York", "ab"), any_case=True, bonus=2.0)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"\n \n", "no words"), ("é".encode("latin-1"), "not UTF-8")],
)
def test_a_file_without_words_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        Lexicon.from_file(path)


@pytest.mark.parametrize("bonus", [-1.0, float("inf"), float("nan")])
def test_a_bonus_is_finite_and_not_negative(bonus: float) -> None:
    with pytest.raises(ConfigError, match="bonus"):
        Lexicon(("a",), bonus=bonus)


def test_a_lexicon_of_a_language_makes_its_words_likelier_in_any_case() -> None:
    lexicon = Lexicon.of_language("de", num_words=300)
    assert {"und", "Und", "UND", "für"} <= set(lexicon.forms())
    assert min(map(len, lexicon.words)) > 1
    assert lexicon.bonus == 2.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"language": "klingon"}, "no words of language 'klingon'; there are ar, bg, "),
        ({"language": "tlh"}, "no words of language 'tlh'"),
        ({"language": "en", "num_words": 0}, "num_words must be 1 or more"),
        ({"language": "en", "bonus": -1.0}, "bonus"),
    ],
)
def test_a_language_without_words_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Lexicon.of_language(**arguments)


def test_a_lexicon_of_no_words_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs words"):
        Lexicon(())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_beams": 0}, "num_beams"),
        ({"num_beams": 2, "length_penalty": -0.5}, "length_penalty"),
        ({"length_penalty": 1.0}, "no effect"),
        ({"temperature": 0.0}, "temperature"),
        ({"lexicon_bonus": 1.0}, "without a lexicon"),
        ({"lexicon_bonus": -1.0, "trie": compile_words("a")}, "bonus"),
    ],
)
def test_options_out_of_range_or_without_effect_are_refused(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        DecodeOptions(**settings)  # type: ignore[arg-type]  # parametrised


def test_search_is_needed_for_more_than_one_beam_or_for_a_lexicon() -> None:
    assert not DecodeOptions(temperature=2.0).needs_search
    assert DecodeOptions(num_beams=2).needs_search
    assert DecodeOptions(trie=compile_words("a")).needs_search
    assert DecodeOptions(trie=compile_words("a")).is_hard
    assert not DecodeOptions(trie=compile_words("a"), lexicon_bonus=1.0).is_hard
