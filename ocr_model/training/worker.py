"""What the loop is handed: its place among the ranks, its data; and batches on the device."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ocr_model.charset import UNK
from ocr_model.data.loading import Batch
from ocr_model.errors import CheckpointError
from ocr_model.models.interface import Targets


@runtime_checkable  # for the tests, which check types at run time
class TrainData(Protocol):
    """Where batches come from."""

    @property
    def num_steps(self) -> int:
        """Steps per epoch."""

    def train_batches(self, epoch: int, start_step: int) -> Iterator[Batch]:
        """Yield this rank's part of each global batch of an epoch, from `start_step` on."""

    def validation_batches(self) -> Iterator[Batch]:
        """Yield this rank's validation samples; all ranks together give each sample once."""


@dataclass(frozen=True)
class Worker:
    """A place among the ranks."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def agree(self, fault: str = "") -> None:
        """Wait for all ranks, and raise on each of them what went wrong on rank 0.

        Raises:
            CheckpointError: Rank 0 gave a `fault`.
        """
        if self.world_size > 1:
            shared = [fault]
            dist.broadcast_object_list(shared, src=0, device=self.device)
            fault = shared[0]
        if fault:
            raise CheckpointError(fault)

    def from_first(self, number: int) -> int:
        """Return rank 0's number on all ranks."""
        shared = torch.tensor([number], device=self.device)
        if self.world_size > 1:
            dist.broadcast(shared, src=0)
        return int(shared)


@dataclass(frozen=True)
class DeviceBatch:
    """A batch on the device."""

    images: UInt8[Tensor, "batch height width 3"]
    content_width: Int[Tensor, " batch"]
    targets: Targets
    weights: Float[Tensor, " batch"]
    """1; 0 for the stand-in of a batch in which nothing was readable."""

    def split(self, num_parts: int) -> Iterator["DeviceBatch"]:
        """Cut into parts of equal size, the last perhaps smaller."""
        size = -(-len(self.weights) // num_parts)
        for start in range(0, len(self.weights), size):
            part = slice(start, start + size)
            targets = Targets(self.targets.class_ids[part], self.targets.num_chars[part])
            yield DeviceBatch(
                self.images[part], self.content_width[part], targets, self.weights[part]
            )


def to_device(batch: Batch, device: torch.device) -> DeviceBatch:
    """Copy a batch to the device.

    A batch without a readable sample becomes one of weight 0: every rank must take every step,
    and the run fails at the epoch's end if that happens often.
    """
    if not batch.labels:
        _, height, width, _ = batch.images.shape
        return DeviceBatch(
            torch.zeros(1, height, width, 3, dtype=torch.uint8, device=device),
            torch.full((1,), width, device=device),
            Targets(
                torch.full((1, 1), UNK, device=device),
                torch.ones(1, dtype=torch.long, device=device),
            ),
            torch.zeros(1, device=device),
        )
    targets = Targets(_copy(batch.class_ids, device), _copy(batch.num_chars, device))
    weights = torch.ones(len(batch.labels), device=device)
    return DeviceBatch(
        _copy(batch.images, device), _copy(batch.content_width, device), targets, weights
    )


def _copy(array: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.tensor(array)  # copies: batches out of Ray's object store are read-only
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
