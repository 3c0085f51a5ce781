"""Where in an image the characters of a reading are, by connectionist temporal classification."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from ocr_model.charset import BLANK

_NEVER = float("-inf")


def char_confidences(
    log_probs: Float[Tensor, "batch time classes"],
    class_ids: Int[Tensor, "batch chars"],
    num_chars: Int[Tensor, " batch"],
) -> Float[Tensor, "batch chars"]:
    """Return each character's highest probability in the columns that the best alignment gives it.

    1 behind the end of a reading.
    """
    slots = best_alignment(log_probs, class_ids, num_chars)
    class_of = F.pad(class_ids, (1, 0), value=BLANK)  # of a slot
    column_scores = log_probs.gather(2, class_of.gather(1, slots)[..., None])[..., 0]
    scores = torch.full_like(class_of, _NEVER, dtype=log_probs.dtype)
    scores.scatter_reduce_(1, slots, column_scores, reduce="amax")
    is_char = torch.arange(class_ids.shape[1], device=slots.device) < num_chars[:, None]
    return torch.where(is_char, scores[:, 1:], 0.0).exp()


def best_alignment(
    log_probs: Float[Tensor, "batch time classes"],
    class_ids: Int[Tensor, "batch chars"],
    num_chars: Int[Tensor, " batch"],
) -> Int[Tensor, "batch time"]:
    """Return which character, counted from 1, each column shows; 0 for a blank.

    The likeliest of all alignments that read so (Viterbi). A reading that has none, as it needs
    more columns, gets an arbitrary one.
    """
    batch, time, _ = log_probs.shape
    labels = class_ids.new_full((batch, 2 * class_ids.shape[1] + 1), BLANK)
    labels[:, 1::2] = class_ids  # states: blank, first character, blank, second, ... , blank
    states = labels.shape[1]
    emissions = log_probs.gather(2, labels[:, None].expand(-1, time, -1))
    may_skip = labels != BLANK  # the blank between two characters that differ
    may_skip[:, 2:] &= labels[:, 2:] != labels[:, :-2]
    scores = emissions[:, 0].masked_fill(torch.arange(states, device=labels.device) > 1, _NEVER)
    moves = []
    for column in emissions[:, 1:].unbind(1):
        before = F.pad(scores, (2, 0), value=_NEVER)
        skipped = before[:, :states].masked_fill(~may_skip, _NEVER)
        scores, move = torch.stack([scores, before[:, 1:-1], skipped]).max(0)
        scores = scores + column
        moves.append(move)
    ends = torch.stack([2 * num_chars, (2 * num_chars - 1).clamp(min=0)], dim=1)
    state = ends.gather(1, scores.gather(1, ends).argmax(1, keepdim=True))
    path = [state]
    for move in reversed(moves):
        state = state - move.gather(1, state)
        path.append(state)
    states_of = torch.cat(path[::-1], dim=1)
    return torch.where(states_of % 2 == 1, (states_of + 1) // 2, 0)
