"""Where a network computes, and in what precision."""

from typing import Literal, assert_never

import torch

from ocr_model.errors import ConfigError

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def dtype_on(device: torch.device, precision: Precision) -> torch.dtype:
    """Return what matrix products are computed in; `auto` is half on a GPU, full elsewhere."""
    match precision:
        case "fp32":
            return torch.float32
        case "bf16":
            return torch.bfloat16
        case "fp16":
            return torch.float16
        case "auto":
            if device.type != "cuda":
                return torch.float32
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        case _:
            assert_never(precision)


def usable_device(wanted: str | torch.device) -> torch.device:
    """Return a device that computes.

    Raises:
        ConfigError: There is no such device here.
    """
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device).cpu()  # a name says nothing: the device must also compute
    except (RuntimeError, AssertionError) as error:  # the latter of a torch built without CUDA
        found = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"device {str(wanted)!r} cannot be used here; there is {', '.join(found)} ({reason})"
        ) from error
    return device
