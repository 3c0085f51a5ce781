import itertools
import math
from collections import defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from ocr_model.charset import BLANK, EOS, PAD, SOS, UNK, Charset
from ocr_model.decoding.ctc import decode_ctc
from ocr_model.decoding.ctc_alignment import best_alignment
from ocr_model.decoding.ctc_beam import decode_ctc_by_beam
from ocr_model.decoding.lexicon import Lexicon, Trie
from ocr_model.decoding.options import DecodeOptions
from ocr_model.decoding.readings import Readings

LETTERS = Charset("abc")
SPECIAL = [PAD, UNK, SOS, EOS]
TIME = 4
ALL = 150  # beams, of 121 texts with up to 4 characters
SEEDS = st.integers(0, 2**32 - 1)
TEXTS = ["".join(t) for n in range(TIME + 1) for t in itertools.product("abc", repeat=n)]
WORDS = st.lists(st.sampled_from(TEXTS), min_size=1, max_size=6).map(tuple)
PATHS = list(itertools.product([BLANK, *LETTERS.encode("abc")], repeat=TIME))


def draw(seed: int, batch: int = 3, time: int = TIME, scale: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, time, LETTERS.num_classes, generator=generator)
    logits[..., SPECIAL] = float("-inf")
    return (logits * scale).log_softmax(-1)


def collapse(path: tuple[int, ...]) -> str:
    return LETTERS.decode([c for c, _ in itertools.groupby(path) if c != BLANK])


def sums_over_alignments(frames: Tensor) -> dict[str, float]:
    """Return the probability of every text that has one, in plain Python."""
    probabilities = frames.double().exp().tolist()
    sums: dict[str, float] = defaultdict(float)
    for path in PATHS:
        steps = zip(probabilities, path, strict=True)
        sums[collapse(path)] += math.prod(frame[class_id] for frame, class_id in steps)
    return sums


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


def normed(probability: float, text: str, length_penalty: float) -> float:
    if not probability:
        return -math.inf
    return math.log(probability) / ((5 + len(text)) / 6) ** length_penalty


@settings(deadline=None, database=None, max_examples=30)
@given(
    seed=SEEDS,
    max_chars=st.integers(0, 5),
    length_penalty=st.sampled_from([0.0, 1.5]),
    scale=st.floats(0.1, 5),
)
def test_enough_beams_find_the_text_with_the_highest_sum_over_all_alignments(
    seed: int, max_chars: int, length_penalty: float, scale: float
) -> None:
    log_probs = draw(seed, scale=scale)
    readings = decode_ctc_by_beam(log_probs, max_chars, DecodeOptions(ALL, length_penalty))
    for row, text in enumerate(texts(readings)):
        sums = sums_over_alignments(log_probs[row])
        scores = {t: normed(p, t, length_penalty) for t, p in sums.items() if len(t) <= max_chars}
        assert scores[text] == pytest.approx(max(scores.values()), rel=1e-4, abs=1e-5)
        assert float(readings.confidences[row]) == pytest.approx(sums[text], rel=1e-4)


@settings(deadline=None, database=None, max_examples=30)
@given(
    seed=SEEDS,
    allowed=st.sampled_from([None, "ab", "c", ""]),
    temperature=st.sampled_from([1.0, 0.5, 3.0]),
)
def test_a_mask_shares_out_each_columns_probability_and_temperature_flattens_it(
    seed: int, allowed: str | None, temperature: float
) -> None:
    log_probs = draw(seed)
    is_allowed = None if allowed is None else mask(allowed)
    options = DecodeOptions(ALL, is_allowed=is_allowed, temperature=temperature)
    readings = decode_ctc_by_beam(log_probs, TIME, options)
    probabilities = (log_probs / temperature).softmax(-1)
    if allowed is not None:
        kept = [BLANK, *LETTERS.encode(allowed)]
        probabilities = torch.zeros_like(probabilities).index_copy(
            2, torch.tensor(kept), probabilities[..., kept]
        )
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
    for row, text in enumerate(texts(readings)):
        sums = sums_over_alignments(probabilities[row].log())
        assert sums[text] == pytest.approx(max(sums.values()), rel=1e-4)
        assert float(readings.confidences[row]) == pytest.approx(sums[text], rel=1e-4)


@settings(deadline=None, database=None, max_examples=25)
@given(seed=SEEDS, words=WORDS)
def test_a_hard_lexicon_gives_its_likeliest_word_with_the_models_own_probability(
    seed: int, words: tuple[str, ...]
) -> None:
    log_probs = draw(seed)
    readings = decode_ctc_by_beam(log_probs, TIME, DecodeOptions(ALL, trie=compiled(*words)))
    for row, text in enumerate(texts(readings)):
        sums = sums_over_alignments(log_probs[row])
        likeliest = max(sums[word] for word in words)
        if likeliest > 0:
            assert text in words
        assert sums[text] == pytest.approx(likeliest, rel=1e-4) or not likeliest
        assert float(readings.confidences[row]) == pytest.approx(likeliest, rel=1e-4)


@settings(deadline=None, database=None, max_examples=25)
@given(seed=SEEDS, words=WORDS, num_beams=st.integers(1, 4))
def test_however_few_the_beams_short_words_of_a_hard_lexicon_are_found(
    seed: int, words: tuple[str, ...], num_beams: int
) -> None:
    log_probs = draw(seed, time=9, scale=6.0)
    words = (*words, "a", "b", "c")
    readings = decode_ctc_by_beam(log_probs, 9, DecodeOptions(num_beams, trie=compiled(*words)))
    assert set(texts(readings)) <= set(words)
    assert (readings.confidences <= 1).all()


@settings(deadline=None, database=None, max_examples=25)
@given(seed=SEEDS, words=WORDS, bonus=st.floats(0, 8), length_penalty=st.sampled_from([0.0, 1.0]))
def test_a_bonus_moves_the_reading_where_the_gap_is_smaller_and_not_elsewhere(
    seed: int, words: tuple[str, ...], bonus: float, length_penalty: float
) -> None:
    log_probs = draw(seed)
    before = log_probs.clone()
    options = DecodeOptions(ALL, length_penalty, trie=compiled(*words), lexicon_bonus=bonus)
    readings = decode_ctc_by_beam(log_probs, TIME, options)
    assert torch.equal(before, log_probs)  # what is read stays as it was
    for row, text in enumerate(texts(readings)):
        sums = sums_over_alignments(log_probs[row])
        scores = {t: normed(p, t, length_penalty) for t, p in sums.items()}
        in_lexicon = max(scores.get(word, -math.inf) for word in words)
        elsewhere = max(score for t, score in scores.items() if t not in words)
        if abs(elsewhere - in_lexicon - bonus) > 1e-3:
            assert (text in words) == (elsewhere - in_lexicon < bonus)
        assert float(readings.confidences[row]) == pytest.approx(sums[text], rel=1e-4)


@settings(deadline=None, database=None, max_examples=30)
@given(
    seed=SEEDS,
    words=WORDS,
    kind=st.sampled_from(["open", "hard", "bonus"]),
    num_beams=st.integers(1, 5),
)
def test_rows_do_not_influence_each_other(
    seed: int, words: tuple[str, ...], kind: str, num_beams: int
) -> None:
    log_probs = draw(seed, batch=6, time=7)
    trie = None if kind == "open" else compiled(*words)
    bonus = 1.0 if kind == "bonus" else None
    options = DecodeOptions(num_beams, trie=trie, lexicon_bonus=bonus)
    together = decode_ctc_by_beam(log_probs, 5, options)
    for few in ([0], [1, 2], [5, 4, 3]):
        apart = decode_ctc_by_beam(log_probs[few], 5, options)
        assert texts(apart) == [texts(together)[row] for row in few]
        assert torch.allclose(apart.confidences, together.confidences[few], rtol=1e-5, atol=0)
        chars = apart.char_confidences.shape[1]
        expected = together.char_confidences[few, :chars]
        assert torch.allclose(apart.char_confidences, expected, rtol=1e-5, atol=0)


@settings(deadline=None, database=None, max_examples=30)
@given(seed=SEEDS, num_beams=st.integers(1, 20))
def test_a_confidence_is_never_more_than_the_sum_over_all_alignments(
    seed: int, num_beams: int
) -> None:
    log_probs = draw(seed, batch=4, time=12, scale=3.0)
    readings = decode_ctc_by_beam(log_probs, 12, DecodeOptions(num_beams))
    full = F.ctc_loss(
        log_probs.transpose(0, 1),
        readings.class_ids,
        input_lengths=torch.full((4,), 12),
        target_lengths=readings.num_chars,
        blank=BLANK,
        reduction="none",
    )
    assert (readings.confidences <= torch.exp(-full) * (1 + 1e-4)).all()


@settings(deadline=None, database=None, max_examples=40)
@given(seed=SEEDS, time=st.integers(1, 10))
def test_sure_columns_are_read_as_the_best_path_with_its_character_confidences(
    seed: int, time: int
) -> None:
    log_probs = draw(seed, batch=4, time=time, scale=60.0)
    log_probs[..., [PAD, UNK, SOS, EOS]] = -80.0
    beam = decode_ctc_by_beam(log_probs.log_softmax(-1), time, DecodeOptions(30))
    path = decode_ctc(log_probs.log_softmax(-1), time)
    for row in range(4):
        if path.confidences[row] > 0.9:
            length = int(path.num_chars[row])
            assert texts(beam)[row] == texts(path)[row]
            expected = path.char_confidences[row, :length].tolist()
            assert beam.char_confidences[row, :length].tolist() == pytest.approx(expected, rel=1e-4)
            assert (beam.char_confidences[row, length:] == 1).all()


@settings(deadline=None, database=None, max_examples=30)
@given(seed=SEEDS, text=st.sampled_from(TEXTS))
def test_the_best_alignment_is_the_likeliest_path_that_reads_so(seed: int, text: str) -> None:
    log_probs = draw(seed, batch=1)
    class_ids = torch.tensor([[*LETTERS.encode(text), PAD]])
    slots = best_alignment(log_probs, class_ids, torch.tensor([len(text)]))[0].tolist()
    likely = {
        path: sum(float(log_probs[0, t, c]) for t, c in enumerate(path))
        for path in PATHS
        if collapse(path) == text
    }
    if likely:
        found = tuple(BLANK if slot == 0 else int(class_ids[0, slot - 1]) for slot in slots)
        assert likely[found] == pytest.approx(max(likely.values()), rel=1e-5)


def along(*paths: str, probability: float = 0.9) -> Tensor:
    """Return log probabilities whose best paths are the given ones; `-` is a blank."""
    ids = torch.tensor([[BLANK if c == "-" else LETTERS.encode(c)[0] for c in p] for p in paths])
    rest = (1 - probability) / len(LETTERS.characters)
    frames = torch.full((*ids.shape, LETTERS.num_classes), rest)
    frames[..., [PAD, UNK, SOS, EOS]] = 0
    return frames.scatter(2, ids[..., None], probability).log()


def test_two_unlikely_alignments_of_one_text_beat_the_best_path() -> None:
    frame = torch.zeros(LETTERS.num_classes)
    frame[[BLANK, *LETTERS.encode("a")]] = torch.tensor([0.6, 0.4])
    log_probs = frame.log().expand(1, 2, -1)
    assert texts(decode_ctc(log_probs, 2)) == [""]
    readings = decode_ctc_by_beam(log_probs, 2, DecodeOptions(2))
    assert texts(readings) == ["a"]
    assert readings.confidences.tolist() == pytest.approx([1 - 0.36])


def test_a_repeated_character_needs_a_blank_between() -> None:
    readings = decode_ctc_by_beam(along("aa-a", "aaaa", "a-ba"), TIME, DecodeOptions(5))
    assert texts(readings) == ["aa", "a", "aba"]


def test_special_tokens_are_never_read_however_likely() -> None:
    log_probs = torch.full((1, TIME, LETTERS.num_classes), -5.0)
    log_probs[..., [PAD, UNK, SOS, EOS]] = 0
    log_probs[..., BLANK] = -2.0
    log_probs[:, 2, LETTERS.encode("b")] = -1.0
    readings = decode_ctc_by_beam(log_probs.log_softmax(-1), TIME, DecodeOptions(4))
    assert texts(readings) == ["b"]


def test_a_forced_word_has_an_honest_confidence() -> None:
    options = DecodeOptions(3, trie=compiled("b", "ab"))
    readings = decode_ctc_by_beam(along("-ac-"), TIME, options)
    assert texts(readings) == ["ab"]
    assert float(readings.confidences[0]) < 0.05
    assert readings.char_confidences[0].tolist() == pytest.approx([0.9, 0.1 / 3])


def test_words_of_no_and_of_one_character_can_be_read() -> None:
    options = DecodeOptions(3, trie=compiled("", "b", "bc"))
    readings = decode_ctc_by_beam(along("----", "--b-", "b-cc"), TIME, options)
    assert texts(readings) == ["", "b", "bc"]


def test_the_best_word_outlives_likelier_beginnings_of_other_words() -> None:
    log_probs = along("abca-", probability=0.99)
    options = DecodeOptions(1, trie=compiled("a", "abcabc"))
    assert texts(decode_ctc_by_beam(log_probs, 5, options)) == ["a"]


def test_what_cannot_be_read_at_all_is_empty_and_of_no_confidence() -> None:
    options = DecodeOptions(2, trie=compiled("abc"))
    readings = decode_ctc_by_beam(along("ab", "bc"), TIME, options)
    assert texts(readings) == ["", ""]
    assert readings.confidences.tolist() == [0, 0]
    assert readings.class_ids.shape == readings.char_confidences.shape == (2, 0)
