"""Greedy character-by-character reading."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ocr_model.charset import BLANK, EOS, PAD, SOS, UNK
from ocr_model.decoding.readings import Readings

Step = Callable[
    [Int[Tensor, "batch 1"], int],
    tuple[
        Float[Tensor, "batch 1 classes"],
        Float[Tensor, "batch layers heads 1 tokens"] | None,
    ],
]
"""The newest characters and their position in; logits of the next and attention out."""


def decode_greedily(
    step: Step, *, batch_size: int, max_chars: int, device: torch.device
) -> Readings:
    """Feed each most likely character back until every row has written `<EOS>`.

    A word's confidence is the product of its characters' probabilities and of its end's.
    """
    newest = torch.full((batch_size, 1), SOS, dtype=torch.long, device=device)
    has_ended = torch.zeros(batch_size, dtype=torch.bool, device=device)
    confidences = torch.ones(batch_size, device=device)
    class_ids, scores, attention = [], [], []
    for position in range(max_chars + 1):
        logits, weights = step(newest, position)
        probabilities = _mask_unwritable(logits[:, 0].float()).softmax(-1)
        best, chosen = probabilities.max(-1)
        if position == max_chars:  # no room for more: the word is right if it ends here
            best = probabilities[:, EOS]
        confidences = torch.where(has_ended, confidences, confidences * best)
        has_ended = has_ended | (chosen == EOS)
        if position == max_chars or bool(has_ended.all()):
            break
        newest = torch.where(has_ended, PAD, chosen)[:, None]
        class_ids.append(newest[:, 0])
        scores.append(torch.where(has_ended, 1.0, best))
        attention.append(weights)
    if not class_ids:
        empty = torch.zeros(batch_size, 0, device=device)
        return Readings(empty.long(), empty, has_ended.long() * 0, confidences)
    ids = torch.stack(class_ids, dim=1)
    return Readings(
        ids,
        torch.stack(scores, dim=1),
        (ids != PAD).sum(1),
        confidences,
        torch.cat(attention, dim=3) if attention[0] is not None else None,  # type: ignore[arg-type]  # all or none
    )


def _mask_unwritable(logits: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch classes"]:
    logits = logits.clone()
    logits[:, [PAD, UNK, SOS, BLANK]] = float("-inf")
    return logits
