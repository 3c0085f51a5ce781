import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from ocr_model.charset import BLANK, EOS, PAD, SOS, SPECIAL_TOKENS, UNK
from ocr_model.decoding.ctc import ctc_losses, decode_ctc
from ocr_model.decoding.options import DecodeOptions

A, B, C = range(len(SPECIAL_TOKENS), len(SPECIAL_TOKENS) + 3)
CLASSES = C + 1


def along(paths: list[list[int]], probability: float = 0.9) -> Tensor:
    """Return log probabilities whose best path is the given one."""
    ids = torch.tensor(paths)
    frames = torch.zeros(*ids.shape, CLASSES)
    frames[..., [BLANK, A, B, C]] = (1 - probability) / 3
    return frames.scatter(2, ids[..., None], probability).log()


def read_slowly(frames: np.ndarray, max_chars: int) -> tuple[list[int], list[float], float]:
    """Read one row in plain Python: class ids, their confidences, the word's."""
    best = []
    for frame in frames:
        allowed = {i: float(p) for i, p in enumerate(frame) if i not in (PAD, UNK, SOS, EOS)}
        total = math.log(sum(map(math.exp, allowed.values())))  # they share all probability
        class_id = max(allowed, key=lambda i: (allowed[i], -i))
        best.append((class_id, allowed[class_id] - total))
    ids, scores = [], []
    for class_id, run in itertools.groupby(best, key=lambda pair: pair[0]):
        if class_id != BLANK:
            ids.append(class_id)
            scores.append(math.exp(max(score for _, score in run)))
    ids, scores = ids[:max_chars], scores[:max_chars]
    if ids:
        return ids, scores, math.prod(scores)
    blanks = [math.exp(score) for class_id, score in best if class_id == BLANK]
    return ids, scores, math.prod(blanks)


@settings(deadline=None, max_examples=200, database=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    batch=st.integers(1, 5),
    time=st.integers(1, 14),
    blank_bias=st.floats(-1, 4),
    max_chars=st.integers(0, 6),
)
def test_the_best_path_is_read_as_a_slow_reference_reads_it(
    seed: int, batch: int, time: int, blank_bias: float, max_chars: int
) -> None:
    logits = torch.randn(batch, time, CLASSES, generator=torch.Generator().manual_seed(seed)) * 2
    logits[..., BLANK] += blank_bias
    log_probs = logits.log_softmax(-1)
    readings = decode_ctc(log_probs, max_chars)
    for row in range(batch):
        ids, scores, confidence = read_slowly(log_probs[row].numpy(), max_chars)
        length = int(readings.num_chars[row])
        assert readings.class_ids[row, :length].tolist() == ids
        assert (readings.class_ids[row, length:] == PAD).all()
        assert readings.char_confidences[row, :length].tolist() == pytest.approx(scores, rel=1e-4)
        assert (readings.char_confidences[row, length:] == 1).all()
        assert float(readings.confidences[row]) == pytest.approx(confidence, rel=1e-4)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ([A, BLANK, A, BLANK, BLANK, BLANK], [A, A]),
        ([A, A, BLANK, A, A, A], [A, A]),
        ([A, A, A, A, A, A], [A]),
        ([A, A, B, B, A, A], [A, B, A]),
        ([BLANK, A, A, BLANK, C, C], [A, C]),
        ([BLANK, BLANK, BLANK, BLANK, BLANK, BLANK], []),
        ([BLANK, BLANK, BLANK, BLANK, BLANK, C], [C]),
        ([A, B, C, A, B, C], [A, B, C, A, B, C]),
    ],
)
def test_runs_are_merged_and_blanks_separate_repeats(path: list[int], expected: list[int]) -> None:
    readings = decode_ctc(along([path]), max_chars=6)
    assert readings.class_ids.tolist() == [expected]
    assert readings.num_chars.tolist() == [len(expected)]


def test_only_what_is_allowed_is_read_and_shares_all_probability() -> None:
    is_allowed = torch.zeros(CLASSES, dtype=torch.bool)
    is_allowed[[A, C]] = True
    readings = decode_ctc(along([[B, A, BLANK]], 0.7), 3, DecodeOptions(is_allowed=is_allowed))
    assert readings.class_ids.tolist() == [[A]]
    assert float(readings.confidences) == pytest.approx(0.7 / 0.9)


def test_a_temperature_spreads_probability_and_changes_no_text() -> None:
    log_probs = along([[A, BLANK, B]], probability=0.9)
    sharp, flat = (
        decode_ctc(log_probs, 3, DecodeOptions(temperature=t)).char_confidences[0].tolist()
        for t in (1.0, 2.0)
    )
    assert sharp == pytest.approx([0.9, 0.9])
    assert flat == pytest.approx([0.9**0.5 / (0.9**0.5 + 3 * (0.1 / 3) ** 0.5)] * 2)


def test_special_tokens_are_never_read() -> None:
    log_probs = along([[PAD, UNK, SOS, EOS, A]], probability=0.5)
    readings = decode_ctc(log_probs, max_chars=5)
    assert not torch.isin(readings.class_ids, torch.tensor([UNK, SOS, EOS, BLANK])).any()
    assert readings.class_ids[0, : int(readings.num_chars[0])].min() >= A


def test_an_empty_reading_is_as_sure_as_its_blanks() -> None:
    readings = decode_ctc(along([[BLANK] * 4, [A] * 4], probability=0.8), max_chars=6)
    assert readings.num_chars.tolist() == [0, 1]
    assert readings.confidences.tolist() == pytest.approx([0.8**4, 0.8])


def test_reading_does_not_change_its_input() -> None:
    log_probs = along([[A, B, BLANK]])
    before = log_probs.clone()
    decode_ctc(log_probs, max_chars=3)
    assert torch.equal(before, log_probs)


def test_each_loss_is_torchs_divided_by_the_label_length() -> None:
    torch.manual_seed(0)
    log_probs = torch.randn(3, 9, CLASSES).log_softmax(-1)
    labels = [[A, B, A, C], [B, B], [C]]
    class_ids = torch.tensor([label + [PAD] * (4 - len(label)) for label in labels])
    losses = ctc_losses(log_probs, class_ids, torch.tensor([4, 2, 1]))
    for row, label in enumerate(labels):
        total = F.ctc_loss(
            log_probs[row][:, None],
            torch.tensor([label]),
            input_lengths=torch.tensor([9]),
            target_lengths=torch.tensor([len(label)]),
            blank=BLANK,
            reduction="sum",
        )
        assert torch.allclose(losses[row], total / len(label))


def test_a_label_that_needs_more_columns_costs_nothing_and_teaches_nothing() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 3, CLASSES, requires_grad=True)
    class_ids = torch.tensor([[A, B, C, A], [A, A, B, PAD], [A, B, C, PAD]])
    losses = ctc_losses(logits.log_softmax(-1), class_ids, torch.tensor([4, 3, 3]))
    losses.sum().backward()
    assert losses[:2].tolist() == [0, 0]
    assert losses[2] > 0
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[:2].any()
    assert logits.grad[2].any()
