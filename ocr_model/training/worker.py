"""What the loop is handed: its place among the ranks, its data; and batches on the device."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ocr_model.charset import UNK
from ocr_model.data.loading import Batch
from ocr_model.errors import CheckpointError, OCRError
from ocr_model.models.interface import Targets

T = TypeVar("T")
TrainBatch = TypeVar("TrainBatch", covariant=True)
ValidationBatch = TypeVar("ValidationBatch", covariant=True)


@runtime_checkable  # for the tests, which check types at run time
class TrainData(Protocol[TrainBatch, ValidationBatch]):
    """Where batches come from."""

    def num_steps(self, epoch: int) -> int:
        """Return the number of steps of an epoch."""

    @property
    def fingerprint(self) -> int:
        """A number that changes when other rows make up the training part."""

    def train_batches(self, epoch: int, start_step: int) -> Iterator[TrainBatch]:
        """Yield this rank's part of each global batch of an epoch, from `start_step` on."""

    def validation_batches(self) -> Iterator[ValidationBatch]:
        """Yield this rank's validation samples; all ranks together give each sample once."""


@dataclass(frozen=True)
class Worker:
    """A place among the ranks."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def gather(self, value: T) -> list[T]:
        """Return every rank's value, on all ranks; plain values only."""
        if self.world_size == 1:
            return [value]
        gathered: list[T] = [value] * self.world_size
        dist.all_gather_object(gathered, value)
        return gathered

    def agree(self, fault: OCRError | None = None) -> None:
        """Wait for all ranks, and raise on each of them what went wrong on any.

        A fault of one rank alone would leave the others waiting for it.

        Raises:
            OCRError: This rank's `fault`, or a CheckpointError with the message of another's.
        """
        faults = [message for message in self.gather(str(fault or "")) if message]
        if fault is not None:
            raise fault
        if faults:
            raise CheckpointError(faults[0])

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
        """Cut into exactly `num_parts` parts.

        Where samples were unreadable the last may be smaller, or a stand-in: every rank must take
        equally many forward passes, for batch normalisation reduces over ranks in each.
        """
        size = -(-len(self.weights) // num_parts)
        for start in range(0, num_parts * size, size):
            part = slice(start, start + size)
            if start >= len(self.weights):
                yield _stand_in(self.images)
                continue
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
        return _stand_in(torch.zeros(1, *batch.images.shape[1:], dtype=torch.uint8, device=device))
    targets = Targets(_copy(batch.class_ids, device), _copy(batch.num_chars, device))
    weights = torch.ones(len(batch.labels), device=device)
    return DeviceBatch(
        _copy(batch.images, device), _copy(batch.content_width, device), targets, weights
    )


def _stand_in(images: UInt8[Tensor, "batch height width 3"]) -> DeviceBatch:
    device, width = images.device, images.shape[2]
    return DeviceBatch(
        torch.zeros_like(images[:1]),
        torch.full((1,), width, device=device),
        Targets(
            torch.full((1, 1), UNK, device=device),
            torch.ones(1, dtype=torch.long, device=device),
        ),
        torch.zeros(1, device=device),
    )


def _copy(array: np.ndarray, device: torch.device) -> Tensor:
    tensor = torch.tensor(array)  # copies: batches out of Ray's object store are read-only
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
