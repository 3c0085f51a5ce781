import itertools
import math
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ocr_model.charset import BLANK, EOS, PAD, SOS, UNK, Charset
from ocr_model.decoding.autoregressive import decode_greedily
from ocr_model.decoding.beam import decode_by_beam
from ocr_model.decoding.lexicon import Lexicon, Trie
from ocr_model.decoding.options import DecodeOptions
from ocr_model.decoding.readings import Readings

CPU = torch.device("cpu")
LETTERS = Charset("abc")
MAX_CHARS = 3
TEXTS = ["".join(t) for n in range(MAX_CHARS + 1) for t in itertools.product("abc", repeat=n)]
ALL = len(TEXTS) * LETTERS.num_classes  # beams that lose nothing
SEEDS = st.integers(0, 2**32 - 1)
WORDS = st.lists(st.sampled_from(TEXTS), min_size=1, max_size=6).map(tuple)


@dataclass
class Table:
    """Has logits for each image, position and newest character, and remembers whole prefixes.

    The character before the newest counts too, so that rows in a wrong order would be noticed.
    """

    logits: Tensor  # images, position, one before the newest, newest, classes
    with_attention: bool = False

    def __post_init__(self) -> None:
        self.images = torch.arange(len(self.logits))
        self.previous = torch.zeros_like(self.images)
        self.newest = torch.zeros_like(self.images)
        self.num_rows: list[int] = []

    def step(self, newest: Tensor, position: int) -> tuple[Tensor, Tensor | None]:
        assert len(newest) == len(self.images)
        self.num_rows.append(len(newest))
        self.previous, self.newest = self.newest, newest[:, 0]
        logits = self.logits[self.images, position, self.previous, self.newest]
        code = self.images * 1000 + position * 100 + self.previous * 10 + self.newest
        return logits, code.float()[:, None, None, None] if self.with_attention else None

    def select(self, rows: Tensor) -> None:
        self.images, self.previous, self.newest = (
            part[rows] for part in (self.images, self.previous, self.newest)
        )

    def probability(self, image: int, text: str, options: DecodeOptions) -> float:
        """Return the probability of a reading and its end, in plain Python."""
        total, previous, newest = 1.0, 0, SOS
        for position, class_id in enumerate([*LETTERS.encode(text), EOS]):
            logits = self.logits[image, position, previous, newest].double() / options.temperature
            logits[[PAD, UNK, SOS, BLANK]] = float("-inf")
            if options.is_allowed is not None:
                logits[~options.is_allowed & (torch.arange(len(logits)) != EOS)] = float("-inf")
            total *= float(logits.softmax(-1)[class_id])
            previous, newest = newest, class_id
        return total


def draw(seed: int, images: int = 3, scale: float = 2.0) -> Table:
    classes = LETTERS.num_classes
    generator = torch.Generator().manual_seed(seed)
    shape = (images, MAX_CHARS + 1, classes, classes, classes)
    return Table(torch.randn(shape, generator=generator) * scale)


def read(table: Table, options: DecodeOptions) -> Readings:
    return decode_by_beam(
        replace(table),
        batch_size=len(table.logits),
        max_chars=MAX_CHARS,
        device=CPU,
        options=options,
    )


def texts(readings: Readings) -> list[str]:
    chars = readings.class_ids.tolist()
    lengths = readings.num_chars.tolist()
    assert all(set(ids[n:]) <= {PAD} for ids, n in zip(chars, lengths, strict=True))
    return [LETTERS.decode(ids[:n]) for ids, n in zip(chars, lengths, strict=True)]


def compiled(*words: str) -> Trie:
    return Trie.compile(Lexicon(words), LETTERS)


def mask(characters: str) -> Tensor:
    is_allowed = torch.zeros(LETTERS.num_classes, dtype=torch.bool)
    is_allowed[LETTERS.encode(characters)] = True
    return is_allowed


@settings(deadline=None, database=None, max_examples=25)
@given(
    seed=SEEDS,
    length_penalty=st.sampled_from([0.0, 0.6, 1.5]),
    temperature=st.sampled_from([1.0, 0.5, 3.0]),
    allowed=st.sampled_from([None, "ab", "c", ""]),
)
def test_enough_beams_find_what_a_search_through_all_texts_finds(
    seed: int, length_penalty: float, temperature: float, allowed: str | None
) -> None:
    table = draw(seed)
    is_allowed = None if allowed is None else mask(allowed)
    options = DecodeOptions(ALL, length_penalty, is_allowed, temperature=temperature)
    readings = read(table, options)
    for image, (text, found) in enumerate(
        zip(texts(readings), readings.confidences.tolist(), strict=True)
    ):
        likely = {t: table.probability(image, t, options) for t in TEXTS}
        scores = {
            t: math.log(p) / ((5 + len(t)) / 6) ** length_penalty for t, p in likely.items() if p
        }
        assert scores[text] == pytest.approx(max(scores.values()), rel=1e-4)
        assert found == pytest.approx(likely[text], rel=1e-4)


@settings(deadline=None, database=None, max_examples=60)
@given(
    seed=SEEDS,
    words=st.none() | WORDS,
    bonus=st.floats(0, 4),
    allowed=st.sampled_from([None, "ab"]),
    scale=st.floats(2, 12),
)
def test_what_is_read_surely_is_what_search_finds(
    seed: int, words: tuple[str, ...] | None, bonus: float, allowed: str | None, scale: float
) -> None:
    table = draw(seed, images=8, scale=scale)
    is_allowed = None if allowed is None else mask(allowed)
    options = DecodeOptions(ALL, is_allowed=is_allowed)
    if words is not None:
        options = replace(options, trie=compiled(*words), lexicon_bonus=bonus)
    greedy = decode_greedily(
        replace(table),
        batch_size=len(table.logits),
        max_chars=MAX_CHARS,
        device=CPU,
        options=DecodeOptions(is_allowed=is_allowed),
    )
    is_sure = (greedy.confidences > options.sure_from + 1e-6).tolist()
    searched = texts(read(table, options))
    for sure, first, found in zip(is_sure, texts(greedy), searched, strict=True):
        assert first == found or not sure


def test_a_lexicon_alone_or_a_length_penalty_leaves_nothing_sure() -> None:
    assert DecodeOptions(trie=compiled("a")).sure_from > 1
    assert DecodeOptions(2, length_penalty=1.0).sure_from > 1
    assert DecodeOptions(2).sure_from == 0.5
    soft = DecodeOptions(2, trie=compiled("a"), lexicon_bonus=math.log(9))
    assert soft.sure_from == pytest.approx(0.9)


@settings(deadline=None, database=None, max_examples=60)
@given(seed=SEEDS, allowed=st.sampled_from([None, "ac"]), scale=st.floats(0.1, 8))
def test_one_beam_reads_as_greedy_reading_does(
    seed: int, allowed: str | None, scale: float
) -> None:
    table = draw(seed, images=5, scale=scale)
    is_allowed = None if allowed is None else mask(allowed)
    options = DecodeOptions(is_allowed=is_allowed)
    beam = read(table, options)
    greedy = decode_greedily(
        replace(table), batch_size=5, max_chars=MAX_CHARS, device=CPU, options=options
    )
    assert torch.equal(beam.class_ids, greedy.class_ids)
    assert torch.equal(beam.num_chars, greedy.num_chars)
    assert torch.equal(beam.confidences, greedy.confidences)
    assert torch.equal(beam.char_confidences, greedy.char_confidences)


@settings(deadline=None, database=None, max_examples=30)
@given(seed=SEEDS)
def test_equal_logits_are_read_as_greedy_reading_does(seed: int) -> None:
    table = draw(seed, images=5)
    table.logits = table.logits.round()
    greedy = decode_greedily(replace(table), batch_size=5, max_chars=MAX_CHARS, device=CPU)
    assert torch.equal(read(table, DecodeOptions()).class_ids, greedy.class_ids)


@settings(deadline=None, database=None, max_examples=40)
@given(seed=SEEDS, words=WORDS)
def test_a_hard_lexicon_gives_its_likeliest_word_with_the_models_own_probability(
    seed: int, words: tuple[str, ...]
) -> None:
    table = draw(seed)
    options = DecodeOptions(ALL, trie=compiled(*words))
    readings = read(table, options)
    for image, text in enumerate(texts(readings)):
        likely = {word: table.probability(image, word, options) for word in words}
        assert likely[text] == pytest.approx(max(likely.values()), rel=1e-4)
        assert float(readings.confidences[image]) == pytest.approx(likely[text], rel=1e-4)


@settings(deadline=None, database=None, max_examples=40)
@given(seed=SEEDS, words=WORDS, num_beams=st.integers(1, 4))
def test_however_few_the_beams_a_hard_lexicon_gives_a_word(
    seed: int, words: tuple[str, ...], num_beams: int
) -> None:
    readings = read(draw(seed, scale=6.0), DecodeOptions(num_beams, trie=compiled(*words)))
    assert set(texts(readings)) <= set(words)


@settings(deadline=None, database=None, max_examples=40)
@given(seed=SEEDS, words=WORDS, bonus=st.floats(0, 8), length_penalty=st.sampled_from([0.0, 1.0]))
def test_a_bonus_moves_the_reading_where_the_gap_is_smaller_and_not_elsewhere(
    seed: int, words: tuple[str, ...], bonus: float, length_penalty: float
) -> None:
    table = draw(seed)
    options = DecodeOptions(ALL, length_penalty, trie=compiled(*words), lexicon_bonus=bonus)
    readings = read(table, options)
    for image, text in enumerate(texts(readings)):
        likely = {t: table.probability(image, t, options) for t in TEXTS}
        scores = {t: math.log(p) / ((5 + len(t)) / 6) ** length_penalty for t, p in likely.items()}
        in_lexicon = max(scores[word] for word in words)
        elsewhere = max([s for t, s in scores.items() if t not in words], default=-math.inf)
        if abs(elsewhere - in_lexicon - bonus) > 1e-3:
            assert (text in words) == (elsewhere - in_lexicon < bonus)
        assert float(readings.confidences[image]) == pytest.approx(likely[text], rel=1e-4)


@settings(deadline=None, database=None, max_examples=30)
@given(
    seed=SEEDS,
    words=WORDS,
    bonus=st.sampled_from([None, 1.0]),
    num_beams=st.integers(1, 5),
    length_penalty=st.sampled_from([0.0, 1.0]),
)
def test_images_do_not_influence_each_other(
    seed: int, words: tuple[str, ...], bonus: float | None, num_beams: int, length_penalty: float
) -> None:
    table = draw(seed, images=6)
    options = DecodeOptions(num_beams, length_penalty, trie=compiled(*words), lexicon_bonus=bonus)
    together = read(table, options)
    for few in ([0], [1, 2], [5, 4, 3]):
        apart = read(Table(table.logits[few]), options)
        assert texts(apart) == [texts(together)[image] for image in few]
        assert torch.allclose(apart.confidences, together.confidences[few], rtol=1e-5, atol=0)


@settings(deadline=None, database=None, max_examples=30)
@given(seed=SEEDS, num_beams=st.integers(1, 6))
def test_attention_is_that_of_the_steps_that_wrote_the_reading(seed: int, num_beams: int) -> None:
    table = draw(seed)
    table.with_attention = True
    readings = read(table, DecodeOptions(num_beams))
    assert readings.attention is not None
    assert readings.attention.shape == (3, 1, 1, readings.class_ids.shape[1], 1)
    for image, length in enumerate(readings.num_chars.tolist()):
        before = [0, SOS, *readings.class_ids[image].tolist()]
        expected = [image * 1000 + p * 100 + before[p] * 10 + before[p + 1] for p in range(length)]
        assert readings.attention[image].flatten()[:length].tolist() == expected


def certain(*words: str, probability: float = 0.97) -> Table:
    """Return one image per word, read so by a model that is sure of it."""
    classes = LETTERS.num_classes
    rest = (1 - probability) / len(LETTERS.characters)
    probabilities = torch.full((len(words), MAX_CHARS + 1, classes, classes, classes), rest)
    for image, word in enumerate(words):
        for position, class_id in enumerate([*LETTERS.encode(word), EOS]):
            probabilities[image, position, :, :, class_id] = probability
    return Table(probabilities.log())


def test_prefixes_that_cannot_win_leave_the_batch() -> None:
    table = certain("abc", "a", "")
    decode_by_beam(table, batch_size=3, max_chars=MAX_CHARS, device=CPU, options=DecodeOptions(4))
    # Ending at once has 0.01, and so has each prefix beside the sure one: none of them can win.
    assert table.num_rows == [3, 2, 1, 1]


def test_a_forced_word_has_an_honest_confidence() -> None:
    readings = read(certain("abc"), DecodeOptions(2, trie=compiled("abb", "b")))
    assert texts(readings) == ["abb"]
    assert readings.confidences.tolist() == pytest.approx([0.97**3 * 0.01])
    assert readings.char_confidences[0].tolist() == pytest.approx([0.97, 0.97, 0.01])


def test_words_of_no_and_of_one_character_can_be_read() -> None:
    readings = read(certain("", "b", "abc"), DecodeOptions(2, trie=compiled("", "b", "bc")))
    assert texts(readings) == ["", "b", ""]


def test_a_word_that_continues_another_is_told_from_it() -> None:
    options = DecodeOptions(2, trie=compiled("a", "ab", "abc", "b"))
    assert texts(read(certain("a", "ab", "abc", "cb"), options)) == ["a", "ab", "abc", "ab"]


def test_what_cannot_be_read_at_all_is_empty_and_of_no_confidence() -> None:
    options = DecodeOptions(2, trie=compiled("abc"), is_allowed=mask("ab"))
    readings = read(certain("abc", "ab"), options)
    assert texts(readings) == ["", ""]
    assert readings.confidences.tolist() == [0, 0]
    assert readings.class_ids.shape == (2, 0)


def test_a_word_that_fills_all_room_counts_the_probability_of_its_end() -> None:
    table = certain("abc", probability=0.7)
    table.logits[:, MAX_CHARS, ..., EOS] = math.log(0.1)
    table.logits[:, MAX_CHARS, ..., LETTERS.encode("a")] = math.log(0.7)
    readings = read(table, DecodeOptions(1))
    assert texts(readings) == ["abc"]
    assert readings.confidences.tolist() == pytest.approx([0.7**3 * 0.1])


def test_no_room_for_any_character_gives_empty_readings() -> None:
    readings = decode_by_beam(
        certain("", "ab"), batch_size=2, max_chars=0, device=CPU, options=DecodeOptions(3)
    )
    assert readings.class_ids.shape == (2, 0)
    assert readings.confidences.tolist() == pytest.approx([0.97, 0.01])


def test_a_length_penalty_prefers_the_longer_of_two_readings() -> None:
    table = certain("abc", probability=0.4)
    assert texts(read(table, DecodeOptions(ALL))) == [""]
    assert texts(read(table, DecodeOptions(ALL, length_penalty=3.0))) == ["abc"]


def test_a_bonus_helps_a_word_to_a_place_among_few_beams() -> None:
    table = certain("ab", probability=0.7)  # ending behind the `a` has 0.1
    options = DecodeOptions(trie=compiled("a"), lexicon_bonus=3.0)
    assert texts(read(table, options)) == ["a"]
    assert texts(read(table, replace(options, lexicon_bonus=1.0))) == ["ab"]
