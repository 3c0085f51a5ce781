"""Few beams, where what is dropped in each column decides: against a dictionary of prefixes."""

import math
from collections import defaultdict

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocr_model.charset import BLANK, EOS, PAD, SOS, SPECIAL_TOKENS, UNK, Charset
from ocr_model.decoding.ctc_beam import decode_ctc_by_beam
from ocr_model.decoding.lexicon import Lexicon, Trie
from ocr_model.decoding.options import DecodeOptions

LETTERS = Charset("abc")
CLASS_OF = {char: len(SPECIAL_TOKENS) + i for i, char in enumerate(LETTERS.characters)}


def search_slowly(
    frames: list[list[float]], num_beams: int, max_chars: int, words: set[str], is_hard: bool
) -> dict[str, float]:
    """Return the probability of each prefix that is kept to the end, in plain Python."""
    kept = {"": (1.0, 0.0)}
    for frame in frames:
        grown: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for prefix, (ends_blank, ends_char) in kept.items():
            grown[prefix][0] += (ends_blank + ends_char) * frame[BLANK]
            if prefix:
                grown[prefix][1] += ends_char * frame[CLASS_OF[prefix[-1]]]
            for char, class_id in CLASS_OF.items():
                longer = prefix + char
                if len(longer) > max_chars:
                    continue
                if is_hard and not any(word.startswith(longer) for word in words):
                    continue
                before = ends_blank if prefix.endswith(char) else ends_blank + ends_char
                grown[longer][1] += before * frame[class_id]
        possible = [prefix for prefix in grown if sum(grown[prefix])]  # aa needs a blank within
        ranked = sorted(possible, key=lambda prefix: -sum(grown[prefix]))
        other_words = [prefix for prefix in ranked[num_beams:] if prefix in words]
        chosen = ranked[:num_beams] + (other_words[:1] if is_hard else [])
        kept = {prefix: (grown[prefix][0], grown[prefix][1]) for prefix in chosen}
    return {prefix: sum(parts) for prefix, parts in kept.items()}


@settings(deadline=None, database=None, max_examples=150)
@example(seed=0, time=7, num_beams=1, max_chars=4, words=["aaaa"], bonus=None, is_open=False)
@given(
    seed=st.integers(0, 2**32 - 1),
    time=st.integers(1, 9),
    num_beams=st.integers(1, 6),
    max_chars=st.integers(1, 9),
    words=st.lists(st.text("abc", max_size=5), min_size=1, max_size=8),
    bonus=st.sampled_from([None, 2.0]),
    is_open=st.booleans(),
)
def test_few_beams_keep_what_a_slow_reference_keeps(
    seed: int,
    time: int,
    num_beams: int,
    max_chars: int,
    words: list[str],
    bonus: float | None,
    is_open: bool,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, time, LETTERS.num_classes, generator=generator) * 2
    logits[..., [PAD, UNK, SOS, EOS]] = float("-inf")
    log_probs = logits.log_softmax(-1)
    options = DecodeOptions(num_beams)
    if not is_open:
        trie = Trie.compile(Lexicon(tuple(words)), LETTERS)
        options = DecodeOptions(num_beams, trie=trie, lexicon_bonus=bonus)
    readings = decode_ctc_by_beam(log_probs, max_chars, options)
    for row in range(2):
        frames = log_probs[row].double().exp().tolist()
        kept = search_slowly(frames, num_beams, max_chars, set(words), options.is_hard)
        gain = {
            prefix: math.exp(options.lexicon_bonus or 0.0) ** (prefix in words) for prefix in kept
        }
        whole = {
            p: value * gain[p] for p, value in kept.items() if p in words or not options.is_hard
        }
        best = max(whole, key=whole.__getitem__, default="")
        text = LETTERS.decode(readings.class_ids[row, : int(readings.num_chars[row])].tolist())
        assert text == best
        expected = kept[best] if whole else 0.0
        assert float(readings.confidences[row]) == pytest.approx(expected, rel=1e-4)
