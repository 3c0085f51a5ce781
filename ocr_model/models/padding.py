"""What stands behind the end of a picture that is padded on the right, kept from being seen."""

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor


def content_mask(
    images: UInt8[Tensor, "batch _height width 3"], content_width: Int[Tensor, " batch"]
) -> Bool[Tensor, "batch width"]:
    """Return which pixel columns hold picture, not padding."""
    return torch.arange(images.shape[2], device=images.device) < content_width[:, None]


def keep_content(
    features: Float[Tensor, "batch channels _height _width"],
    is_content: Bool[Tensor, "batch pixels"] | None,
    stride: int = 1,
) -> Float[Tensor, "batch channels _height _width"]:
    """Set to 0 what lies behind the end of each image; `stride` is pixels per column.

    On a CPU, where nothing is learned, in place: the argument is spent.
    """
    if is_content is None:
        return features
    is_kept = is_content[:, ::stride]
    if not may_write(features):
        # A product keeps the layout in memory, and is one pass; masked_fill took twice the time of
        # all convolutions.
        return features * is_kept[:, None, None].to(features.dtype)
    shortest = int(is_kept.sum(1).min())  # up to here there is no padding in any
    features[..., shortest:] *= is_kept[:, None, None, shortest:].to(features.dtype)
    return features


def may_write(features: Tensor) -> bool:
    """Say whether there may be writes in place: on a CPU, where nothing is learned or exported."""
    is_learned = torch.is_grad_enabled() or torch.compiler.is_exporting()
    return features.device.type == "cpu" and not is_learned
