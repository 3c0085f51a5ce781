"""The one place that chooses how to decode: greedily, or with beams and a lexicon."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ocr_model.decoding.autoregressive import Writer, decode_greedily
from ocr_model.decoding.beam import decode_by_beam
from ocr_model.decoding.ctc import decode_ctc, permitted
from ocr_model.decoding.ctc_beam import decode_ctc_by_beam
from ocr_model.decoding.options import DecodeOptions
from ocr_model.decoding.readings import Readings


def write(
    writer: Writer,
    *,
    batch_size: int,
    max_chars: int,
    device: torch.device,
    options: DecodeOptions,
) -> Readings:
    """Let a decoder write one reading per image, as the options ask."""
    decode = decode_by_beam if options.needs_search else decode_greedily
    return decode(
        writer, batch_size=batch_size, max_chars=max_chars, device=device, options=options
    )


def read_columns(
    log_probs: Float[Tensor, "batch time classes"],
    max_chars: int,
    options: DecodeOptions,
    *,
    with_frames: bool = False,
) -> Readings:
    """Read the columns of CTC, as the options ask; with the probabilities of the columns if asked.

    Padding must be blank.
    """
    decode = decode_ctc_by_beam if options.needs_search else decode_ctc
    readings = decode(log_probs, max_chars, options)
    if not with_frames:
        return readings
    return replace(readings, frames=permitted(log_probs.float(), options).exp())
