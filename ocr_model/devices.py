"""Where networks compute, and in which precision."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, assert_never, get_args

import torch

from ocr_model.errors import ConfigError

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""auto: bf16 where the device computes in it, else fp16 on a GPU, and fp32 on a CPU."""


def best_device() -> str:
    """Return the GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def usable_device(wanted: str | torch.device) -> torch.device:
    """Return a device that was seen to compute.

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


def precision_on(device: torch.device, precision: Precision) -> torch.dtype:
    """Return the type that a network computes in.

    Raises:
        ConfigError: There is no such precision.
    """
    if precision not in get_args(Precision):
        known = ", ".join(get_args(Precision))
        raise ConfigError(f"precision={precision!r} is not one of {known}")
    match precision:
        case "fp32":
            return torch.float32
        case "bf16":
            return torch.bfloat16
        case "fp16":
            return torch.float16
        case "auto":
            if device.type == "cuda":
                return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
            return torch.bfloat16 if _cpu_computes_bf16() else torch.float32
        case _:
            assert_never(precision)


@contextmanager
def computing(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Run what is within in a precision, without gradients."""
    is_reduced = dtype is not torch.float32
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=is_reduced):
        yield


def _cpu_computes_bf16() -> bool:
    """Return whether products of bf16 are instructions; elsewhere they are slower than fp32."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.12 does not say
        return False
    capabilities = torch.cpu.get_capabilities()
    names = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
    return any(capabilities.get(name, False) for name in names)
