"""Greedy character-by-character reading."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ocr_model.charset import BLANK, EOS, PAD, SOS, UNK
from ocr_model.decoding.options import GREEDY, DecodeOptions
from ocr_model.decoding.readings import Readings

_CROWDED = 0.75  # share of rows still written, from which on the others are dropped
_GPU_CHECKS = 4  # steps between two looks at the device, which wait for it


@runtime_checkable
class Writer(Protocol):
    """A decoder that has seen the images and writes a row of text for each."""

    def step(
        self, newest: Int[Tensor, "rows 1"], position: int
    ) -> tuple[Float[Tensor, "rows classes"], Float[Tensor, "rows layers heads tokens"] | None]:
        """Take the newest characters and their position in; give logits of the next, attention."""

    def select(self, rows: Int[Tensor, " kept"]) -> None:
        """Go on with these rows only."""


def decode_greedily(
    writer: Writer,
    *,
    batch_size: int,
    max_chars: int,
    device: torch.device,
    options: DecodeOptions = GREEDY,
) -> Readings:
    """Feed each most likely character back until every row has written `<EOS>`.

    A word's confidence is the product of its characters' probabilities and of its end's. Rows that
    have ended are dropped as soon as they are a quarter.

    Args:
        writer: Has one row per image.
        batch_size: Number of rows.
        max_chars: Longest reading.
        device: Of the writer.
        options: Which classes may be written (`<EOS>` always may), and the temperature.
    """
    class_ids = torch.full((batch_size, max_chars), PAD, dtype=torch.long, device=device)
    scores = torch.ones(batch_size, max_chars, device=device)
    confidences = torch.ones(batch_size, device=device)
    attention = None
    rows = torch.arange(batch_size, device=device)
    newest = torch.full((batch_size, 1), SOS, dtype=torch.long, device=device)
    has_ended = torch.zeros(batch_size, dtype=torch.bool, device=device)
    forbidden = None
    for position in range(max_chars + 1):
        logits, weights = writer.step(newest, position)
        if forbidden is None:
            forbidden = forbidding(logits, options.is_allowed)
        probabilities = (logits.float() / options.temperature + forbidden).softmax(-1)
        best, chosen = probabilities.max(-1)
        if position == max_chars:  # no room for more: the word is right if it ends here
            best = probabilities[:, EOS]
        confidences[rows] *= torch.where(has_ended, 1.0, best)
        has_ended = has_ended | (chosen == EOS)
        if position == max_chars:
            break
        chosen = torch.where(has_ended, PAD, chosen)
        class_ids[rows, position] = chosen
        scores[rows, position] = torch.where(has_ended, 1.0, best)
        if weights is not None:
            if attention is None:
                _, layers, heads, tokens = weights.shape
                attention = weights.new_zeros(batch_size, layers, heads, max_chars, tokens)
            attention[rows, :, :, position] = weights
        newest = chosen[:, None]
        if device.type == "cuda" and (position + 1) % _GPU_CHECKS:
            continue
        going_on = (~has_ended).nonzero()[:, 0]
        if not len(going_on):
            break
        if len(going_on) <= _CROWDED * len(rows):
            writer.select(going_on)
            rows, newest, has_ended = rows[going_on], newest[going_on], has_ended[going_on]
    num_chars = (class_ids != PAD).sum(1)
    longest = int(num_chars.max())
    return Readings(
        class_ids[:, :longest],
        scores[:, :longest],
        num_chars,
        confidences,
        None if attention is None else attention[..., :longest, :],
    )


def forbidding(
    logits: Float[Tensor, "rows classes"], is_allowed: Bool[Tensor, " classes"] | None
) -> Float[Tensor, " classes"]:
    """Return what is added to logits so that some classes are never written."""
    added = torch.zeros(logits.shape[-1], device=logits.device)
    if is_allowed is not None:
        added[~is_allowed.to(logits.device)] = float("-inf")
        added[EOS] = 0
    added[[PAD, UNK, SOS, BLANK]] = float("-inf")
    return added
