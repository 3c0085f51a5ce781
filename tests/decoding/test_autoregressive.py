import math

import pytest
import torch
from torch import Tensor

from ocr_model.charset import BLANK, EOS, PAD, SOS, SPECIAL_TOKENS, UNK
from ocr_model.decoding.autoregressive import Step, decode_greedily
from ocr_model.decoding.readings import Readings

A, B, C = range(len(SPECIAL_TOKENS), len(SPECIAL_TOKENS) + 3)
WRITABLE = [EOS, A, B, C]


def speaker(words: list[list[int]], probability: float, seen: list[Tensor]) -> Step:
    """Return a step that spells the words, each class with the given probability."""

    def step(newest: Tensor, position: int) -> tuple[Tensor, None]:
        seen.append(newest.clone())
        rest = (1 - probability) / (len(WRITABLE) - 1)
        probabilities = torch.zeros(len(words), 1, C + 1)
        probabilities[:, :, WRITABLE] = rest
        for row, word in enumerate(words):
            probabilities[row, 0, word[position] if position < len(word) else EOS] = probability
        return probabilities.log(), None

    return step


def spell(words: list[list[int]], probability: float = 0.9, max_chars: int = 6) -> Readings:
    return decode_greedily(
        speaker(words, probability, []),
        batch_size=len(words),
        max_chars=max_chars,
        device=torch.device("cpu"),
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


def test_each_character_is_fed_back_and_nothing_behind_the_end() -> None:
    seen: list[Tensor] = []
    words = [[A, B, C], [B]]
    decode_greedily(
        speaker(words, 0.9, seen), batch_size=2, max_chars=6, device=torch.device("cpu")
    )
    assert torch.cat(seen, dim=1).tolist() == [[SOS, A, B, C], [SOS, B, PAD, PAD]]


def test_special_tokens_are_never_written_however_likely() -> None:
    def step(newest: Tensor, position: int) -> tuple[Tensor, None]:
        logits = torch.zeros(1, 1, C + 1)
        logits[..., [PAD, UNK, SOS, BLANK]] = 50.0
        logits[..., B] = 2.0
        return logits, None

    readings = decode_greedily(step, batch_size=1, max_chars=3, device=torch.device("cpu"))
    assert readings.class_ids.tolist() == [[B, B, B]]
    likely = math.exp(2) / (math.exp(2) + 3)
    assert readings.char_confidences[0].tolist() == pytest.approx([likely] * 3)


def test_attention_is_kept_for_each_written_character() -> None:
    def step(newest: Tensor, position: int) -> tuple[Tensor, Tensor]:
        logits, _ = speaker([[A, B], [C]], 0.9, [])(newest, position)
        return logits, torch.full((2, 1, 2, 1, 5), float(position))

    readings = decode_greedily(step, batch_size=2, max_chars=6, device=torch.device("cpu"))
    assert readings.attention is not None
    assert readings.attention.shape == (2, 1, 2, 2, 5)
    assert readings.attention[0, 0, 0, :, 0].tolist() == [0, 1]
