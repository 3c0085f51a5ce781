"""One step of training: a batch forward and backward, perhaps in parts, then the update.

Randomness is seeded anew at every step from (seed, step, rank).
"""

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ocr_model.devices import precision_on
from ocr_model.models.interface import TrainableModel
from ocr_model.training.checkpoint import Progress
from ocr_model.training.optimization import build_optimizer
from ocr_model.training.schedules import learning_rate_factor
from ocr_model.training.task import StepBatch, Task
from ocr_model.training.worker import Worker


@dataclass(frozen=True)
class PendingStep:
    """A step whose numbers are still on the device."""

    number: int
    sums: Tensor
    """Loss, samples, right tokens, tokens, unreadable images."""
    norm: Tensor
    keys: list[str]
    factor: float


class Stepper:
    """Takes the steps of one model, on one rank."""

    def __init__(self, task: Task[Any, Any], model: TrainableModel, worker: Worker) -> None:
        self.task, self.model, self.worker = task, model, worker
        config = task.config
        self.optimizer = build_optimizer(model, config.optimizer)
        self.dtype = precision_on(worker.device, config.training.precision)
        """What matrix products are computed in."""
        self.scaler = torch.amp.GradScaler(worker.device.type, enabled=self.dtype is torch.float16)

    def wrapped(self) -> nn.Module:
        """Wrap the model, anew each epoch: what DDP reduces changes when the encoder thaws."""
        module: nn.Module = self.model
        if self.worker.world_size > 1:
            devices = [self.worker.device] if self.worker.device.type == "cuda" else None
            module = DistributedDataParallel(module, device_ids=devices)
        return torch.compile(module) if self.task.config.training.compile else module  # type: ignore[return-value]  # it stays a module

    def take(self, wrapped: nn.Module, batch: StepBatch, progress: Progress) -> PendingStep:
        """Train on one batch.

        Args:
            wrapped: The model, from `wrapped`.
            batch: This rank's part of the step's samples.
            progress: Says which step it is.
        """
        training, worker = self.task.config.training, self.worker
        factor = self._set_learning_rate(progress)
        torch.manual_seed(mix(training.seed, progress.global_step, worker.rank))
        sums = torch.zeros(5, dtype=torch.float64, device=worker.device)
        sums[4] = len(batch.errors)
        num_parts = min(training.accumulation_steps, batch.num_planned)
        parts = self.task.parts(batch, num_parts, progress, worker)
        for number, part in enumerate(parts, start=1):
            with self._reduced_by(wrapped, is_last=number == num_parts):
                with torch.autocast(
                    worker.device.type, dtype=self.dtype, enabled=self.dtype is not torch.float32
                ):
                    output = part(wrapped)
                loss = (output.losses * output.weights).sum()
                # DDP averages over ranks, and every rank's share of a step is planned equal.
                self.scaler.scale(loss / batch.num_planned).backward()
            sums[0] += loss.detach()
            sums[1] += output.weights.sum()
            sums[2] += output.num_correct_tokens
            sums[3] += output.num_tokens
        return PendingStep(progress.global_step, sums, self._update(), batch.keys[:4], factor)

    def _update(self) -> Tensor:
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(
            self.model.parameters(), self.task.config.optimizer.clip_norm, error_if_nonfinite=False
        )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def _reduced_by(
        self, wrapped: nn.Module, *, is_last: bool
    ) -> contextlib.AbstractContextManager[object]:
        """Let DDP reduce gradients in the last part of a batch only."""
        if self.worker.world_size == 1 or is_last:
            return contextlib.nullcontext()
        return wrapped.no_sync()  # type: ignore[operator, no-any-return]  # DDP's, typed as module

    def _set_learning_rate(self, progress: Progress) -> float:
        optimizer = self.task.config.optimizer
        factor = learning_rate_factor(
            optimizer.schedule, progress.global_step, progress.total_steps, optimizer.warmup
        )
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_rate"] * factor
        return factor


def mix(*numbers: int) -> int:
    """Return a seed that belongs to these numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
