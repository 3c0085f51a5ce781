"""Connectionist temporal classification: losses and best-path reading."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from ocr_model.charset import BLANK, EOS, PAD, SOS, UNK
from ocr_model.decoding.options import GREEDY, DecodeOptions
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


def columns_for(
    class_ids: Int[Tensor, "batch chars"],
    num_chars: Int[Tensor, " batch"],
    is_padding: Bool[Tensor, "batch time"],
) -> Int[Tensor, " batch"]:
    """Return the columns that spell each label: those of the picture, or more where it has too few.

    The columns of padding have scores of their own; no path at all would make a loss of 0.
    """
    is_char = torch.arange(1, class_ids.shape[1], device=class_ids.device) < num_chars[:, None]
    num_needed = num_chars + ((class_ids[:, 1:] == class_ids[:, :-1]) & is_char).sum(1)
    num_columns = torch.maximum((~is_padding).sum(1), num_needed)
    return num_columns.clamp(max=is_padding.shape[1])


def blank_out(
    log_probs: Float[Tensor, "batch time classes"], is_padding: Bool[Tensor, "batch time"]
) -> Float[Tensor, "batch time classes"]:
    """Make padding certain to hold nothing."""
    blank = torch.full_like(log_probs[0, 0], float("-inf"))
    blank[BLANK] = 0
    return torch.where(is_padding[..., None], blank, log_probs)


def decode_ctc(
    log_probs: Float[Tensor, "batch time classes"],
    max_chars: int,
    options: DecodeOptions = GREEDY,
) -> Readings:
    """Read the best path: merge runs, then drop blanks.

    A character's confidence is the highest probability in its run; the word's is their product,
    or, of an empty reading, the product of the blanks'.
    """
    batch, time, _ = log_probs.shape
    log_probs = permitted(log_probs.float(), options)
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


def permitted(
    log_probs: Float[Tensor, "batch time classes"], options: DecodeOptions
) -> Float[Tensor, "batch time classes"]:
    """Leave blanks and what may be written, sharing all probability, at the temperature."""
    is_forbidden = torch.zeros(log_probs.shape[-1], dtype=torch.bool, device=log_probs.device)
    if options.is_allowed is not None:
        is_forbidden = ~options.is_allowed.to(log_probs.device)
        is_forbidden[BLANK] = False
    is_forbidden[[PAD, UNK, SOS, EOS]] = True
    logits = log_probs / options.temperature
    return logits.masked_fill(is_forbidden, float("-inf")).log_softmax(-1)
