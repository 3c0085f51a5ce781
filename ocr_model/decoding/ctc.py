"""Connectionist temporal classification: losses and best-path reading."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from ocr_model.charset import BLANK, EOS, PAD, SOS, UNK
from ocr_model.decoding.readings import Readings


def ctc_losses(
    log_probs: Float[Tensor, "batch time classes"],
    class_ids: Int[Tensor, "batch chars"],
    num_chars: Int[Tensor, " batch"],
    num_columns: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, " batch"]:
    """Return the CTC loss of each label, divided by its length.

    `num_columns` are those that count, from the left; None: all. A label that needs more than there
    are has no path; its loss and gradient are 0.
    """
    batch, time, _ = log_probs.shape
    all_columns = torch.full((batch,), time, dtype=torch.long)
    losses = F.ctc_loss(
        log_probs.transpose(0, 1),
        class_ids,
        input_lengths=all_columns if num_columns is None else num_columns.cpu(),
        target_lengths=num_chars.cpu(),
        blank=BLANK,
        reduction="none",
        zero_infinity=True,
    )
    return losses / num_chars.clamp(min=1)


def decode_ctc(log_probs: Float[Tensor, "batch time classes"], max_chars: int) -> Readings:
    """Read the best path: merge runs, then drop blanks.

    A character's confidence is the highest probability in its run; the word's is their product,
    or, of an empty reading, the product of the blanks'.
    """
    batch, time, _ = log_probs.shape
    log_probs = log_probs.float().clone()
    log_probs[..., [PAD, UNK, SOS, EOS]] = float("-inf")
    frame_scores, path = log_probs.max(dim=-1)
    previous = F.pad(path[:, :-1], (1, 0), value=BLANK)
    starts = (path != BLANK) & (path != previous)
    ordinal = starts.cumsum(1)  # number of the run that a frame belongs to, from 1
    num_chars = ordinal[:, -1]

    # Column 0 gathers the blanks; column n the n-th character.
    slots = torch.where(path == BLANK, 0, ordinal)
    class_ids = torch.full((batch, time + 1), PAD, dtype=torch.long, device=path.device)
    class_ids.scatter_(1, slots, path)
    scores = frame_scores.new_full((batch, time + 1), float("-inf"))
    scores.scatter_reduce_(1, slots, frame_scores, reduce="amax")
    chars = min(int(num_chars.max()), max_chars)
    num_chars = num_chars.clamp(max=max_chars)
    is_char = torch.arange(chars, device=path.device) < num_chars[:, None]
    class_ids = torch.where(is_char, class_ids[:, 1 : chars + 1], PAD)
    char_scores = torch.where(is_char, scores[:, 1 : chars + 1], 0.0)
    blank_scores = torch.where(path == BLANK, frame_scores, 0.0).sum(1)
    word_scores = torch.where(num_chars > 0, char_scores.sum(1), blank_scores)
    return Readings(class_ids, char_scores.exp(), num_chars, word_scores.exp())
