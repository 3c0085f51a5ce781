"""How class ids are chosen from what a model gives."""

from dataclasses import dataclass

from jaxtyping import Bool
from torch import Tensor


@dataclass(frozen=True)
class DecodeOptions:
    """What a call may ask of decoding; the default is the most likely reading, greedily."""

    is_allowed: Bool[Tensor, " classes"] | None = None
    """Which classes may be written, special ones aside; None: all."""
    temperature: float = 1.0
    """Logits are divided by it: above 1, confidences fall (arXiv:1706.04599, section 4.2)."""


GREEDY = DecodeOptions()
