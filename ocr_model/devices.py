"""Where networks compute, and in which precision."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, assert_never, get_args

import torch

from ocr_model.errors import ConfigError

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""auto: bf16 where the device computes in it, else fp16 on a GPU, and fp32 on a CPU. What a CPU
has no instructions for is computed all the same, slowly: a warning says so."""

logger = logging.getLogger(__name__)

_CPU_INSTRUCTIONS: dict[torch.dtype, tuple[str, ...]] = {
    torch.bfloat16: ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"),
    torch.float16: ("avx512_fp16", "amx_fp16", "fp16_arith"),
}
"""Of each type, the ones of which any will do, by torch's names."""

_SLOW = (
    "precision=%s is slow: torch knows of no instructions for it on this CPU (without them, the "
    "model in the box read 65 words/s in fp16, 452 in fp32); precision=auto takes what is fast"
)


def best_device() -> str:
    """Return the GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def num_cores() -> int:
    """Return the CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_device(wanted: str | torch.device) -> torch.device:
    """Return a device that was seen to compute.

    Raises:
        ConfigError: There is no such device here.
    """
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device).cpu()  # a name says nothing: the device must also compute
    except (RuntimeError, TypeError, AssertionError) as error:  # the last: torch without CUDA
        found = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"device {str(wanted)!r} cannot be used here; there is {', '.join(found)} ({reason})"
        ) from error
    return device


def precision_on(device: torch.device, precision: Precision) -> torch.dtype:
    """Return the type that a network computes in.

    Warns of one that was asked for by name, and that the CPU has no instructions for.

    Raises:
        ConfigError: There is no such precision.
    """
    if precision not in get_args(Precision):
        known = ", ".join(get_args(Precision))
        raise ConfigError(f"precision={precision!r} is not one of {known}")
    match precision:
        case "fp32":
            return torch.float32
        case "bf16" | "fp16":
            dtype = torch.bfloat16 if precision == "bf16" else torch.float16
            if device.type == "cpu" and not _cpu_computes(dtype):
                logger.warning(_SLOW, precision)
            return dtype
        case "auto":
            if device.type == "cuda":
                return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
            return torch.bfloat16 if _cpu_computes(torch.bfloat16) else torch.float32
        case _:
            assert_never(precision)


@contextmanager
def computing(device: torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Run what is within in a precision, without gradients."""
    is_reduced = dtype is not torch.float32
    with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=is_reduced):
        yield


def _cpu_computes(dtype: torch.dtype) -> bool:
    """Return whether products of this type are known to be instructions."""
    if not hasattr(torch.cpu, "get_capabilities"):  # torch before 2.12 does not say
        return False
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in _CPU_INSTRUCTIONS[dtype])
