import math

import pytest
import torch
from torch import Tensor

from ocr_model.charset import BLANK, EOS, PAD, SOS, SPECIAL_TOKENS, UNK
from ocr_model.decoding.autoregressive import decode_greedily
from ocr_model.decoding.options import DecodeOptions
from ocr_model.decoding.readings import Readings

A, B, C = range(len(SPECIAL_TOKENS), len(SPECIAL_TOKENS) + 3)
WRITABLE = [EOS, A, B, C]


class Speaker:
    """Spells words, each class with the given probability."""

    def __init__(self, words: list[list[int]], probability: float = 0.9) -> None:
        self.words, self.probability = words, probability
        self.seen: list[list[int]] = []

    def step(self, newest: Tensor, position: int) -> tuple[Tensor, Tensor]:
        self.seen.append(newest[:, 0].tolist())
        rest = (1 - self.probability) / (len(WRITABLE) - 1)
        probabilities = torch.zeros(len(self.words), C + 1)
        probabilities[:, WRITABLE] = rest
        for row, word in enumerate(self.words):
            chosen = word[position] if position < len(word) else EOS
            probabilities[row, chosen] = self.probability
        weights = [float(word[0]) if word else 0.0 for word in self.words]
        return probabilities.log(), position + torch.tensor(weights)[:, None, None, None]

    def select(self, rows: Tensor) -> None:
        self.words = [self.words[row] for row in rows.tolist()]


CPU = torch.device("cpu")


def spell(words: list[list[int]], probability: float = 0.9, max_chars: int = 6) -> Readings:
    return decode_greedily(
        Speaker(words, probability), batch_size=len(words), max_chars=max_chars, device=CPU
    )


def test_rows_that_end_early_are_padded() -> None:
    readings = spell([[A, B, C], [B], []])
    assert readings.class_ids.tolist() == [[A, B, C], [B, PAD, PAD], [PAD, PAD, PAD]]
    assert readings.num_chars.tolist() == [3, 1, 0]
    assert readings.char_confidences[1].tolist() == pytest.approx([0.9, 1, 1])


def test_a_confidence_is_the_product_over_all_characters_and_the_end() -> None:
    readings = spell([[A, B, C], [B], []], probability=0.8)
    assert readings.confidences.tolist() == pytest.approx([0.8**4, 0.8**2, 0.8])
    product = math.prod(readings.char_confidences[0].tolist())
    assert product * 0.8 == pytest.approx(float(readings.confidences[0]))


def test_writing_stops_at_max_chars_and_the_missing_end_lowers_the_confidence() -> None:
    endless = [[A, B] * 10, [C]]
    readings = spell(endless, max_chars=4)
    assert readings.class_ids.tolist() == [[A, B, A, B], [C, PAD, PAD, PAD]]
    assert readings.confidences.tolist() == pytest.approx([0.9**4 * 0.1 / 3, 0.9**2])


def test_every_row_empty_gives_no_columns() -> None:
    readings = spell([[], []])
    assert readings.class_ids.shape == readings.char_confidences.shape == (2, 0)
    assert readings.num_chars.tolist() == [0, 0]
    assert readings.confidences.tolist() == pytest.approx([0.9, 0.9])


def test_each_character_is_fed_back_and_rows_that_ended_are_dropped() -> None:
    speaker = Speaker([[A, B, C, A], [B], [C, C], []])
    readings = decode_greedily(speaker, batch_size=4, max_chars=6, device=CPU)
    assert speaker.seen == [[SOS] * 4, [A, B, C], [B, C], [C], [A]]
    assert readings.num_chars.tolist() == [4, 1, 2, 0]
    assert readings.confidences.tolist() == pytest.approx([0.9**5, 0.9**2, 0.9**3, 0.9])


def test_special_tokens_are_never_written_however_likely() -> None:
    readings = decode_greedily(Stubborn(), batch_size=1, max_chars=3, device=CPU)
    assert readings.class_ids.tolist() == [[B, B, B]]
    likely = math.exp(2) / (math.exp(2) + 3)
    assert readings.char_confidences[0].tolist() == pytest.approx([likely] * 3)


def test_only_allowed_characters_are_written() -> None:
    is_allowed = torch.zeros(C + 1, dtype=torch.bool)
    is_allowed[[A, C]] = True
    options = DecodeOptions(is_allowed=is_allowed)
    readings = decode_greedily(Stubborn(), batch_size=1, max_chars=3, device=CPU, options=options)
    assert not torch.isin(readings.class_ids, torch.tensor([B])).any()
    options = DecodeOptions(is_allowed=torch.zeros(C + 1, dtype=torch.bool))
    readings = decode_greedily(Stubborn(), batch_size=1, max_chars=3, device=CPU, options=options)
    assert readings.num_chars.tolist() == [0]
    assert readings.confidences.tolist() == [1]


def test_a_temperature_spreads_probability_and_changes_no_text() -> None:
    readings = decode_greedily(
        Stubborn(), batch_size=1, max_chars=3, device=CPU, options=DecodeOptions(temperature=2.0)
    )
    assert readings.class_ids.tolist() == [[B, B, B]]
    likely = math.exp(1) / (math.exp(1) + 3)
    assert readings.char_confidences[0].tolist() == pytest.approx([likely] * 3)


class Stubborn:
    """Wants to write what is not text, and then B."""

    def step(self, newest: Tensor, position: int) -> tuple[Tensor, None]:
        logits = torch.zeros(len(newest), C + 1)
        logits[:, [PAD, UNK, SOS, BLANK]] = 50.0
        logits[:, B] = 2.0
        return logits, None

    def select(self, rows: Tensor) -> None:
        pass


def test_attention_is_kept_for_each_written_character() -> None:
    readings = decode_greedily(
        Speaker([[A, B, A], [C], [B, B]]), batch_size=3, max_chars=6, device=CPU
    )
    assert readings.attention is not None
    assert readings.attention.shape == (3, 1, 1, 3, 1)
    assert readings.attention[0].flatten().tolist() == [A, A + 1, A + 2]
    assert readings.attention[1].flatten().tolist()[:1] == [C]
    assert readings.attention[2].flatten().tolist()[:2] == [B, B + 1]
