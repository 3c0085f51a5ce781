"""One step of training: a batch forward and backward, perhaps in parts, then the update.

Randomness is seeded anew at every step from (seed, step, rank).
"""

import contextlib
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ocr_model.data.loading import Batch
from ocr_model.models.interface import LossOutput, RecognizerModel
from ocr_model.training.checkpoint import Progress
from ocr_model.training.config import TrainConfig
from ocr_model.training.optimization import autocast_dtype, build_optimizer
from ocr_model.training.schedules import learning_rate_factor, teacher_forcing_probability
from ocr_model.training.worker import Worker, to_device


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

    def __init__(self, config: TrainConfig, model: RecognizerModel, worker: Worker) -> None:
        self.config, self.model, self.worker = config, model, worker
        self.optimizer = build_optimizer(model, config.optimizer)
        self.dtype = autocast_dtype(config.training.precision, worker.device)
        """What matrix products are computed in; None: full precision."""
        self.scaler = torch.amp.GradScaler(worker.device.type, enabled=self.dtype is torch.float16)

    def wrapped(self) -> nn.Module:
        """Wrap the model, anew each epoch: what DDP reduces changes when the encoder thaws."""
        module: nn.Module = self.model
        if self.worker.world_size > 1:
            devices = [self.worker.device] if self.worker.device.type == "cuda" else None
            module = DistributedDataParallel(module, device_ids=devices)
        return torch.compile(module) if self.config.training.compile else module  # type: ignore[return-value]  # it stays a module

    def take(self, wrapped: nn.Module, batch: Batch, progress: Progress) -> PendingStep:
        """Train on one batch.

        Args:
            wrapped: The model, from `wrapped`.
            batch: This rank's part of the step's samples.
            progress: Says which step it is.
        """
        config, worker = self.config, self.worker
        factor = self._set_learning_rate(progress)
        torch.manual_seed(_mix(config.training.seed, progress.global_step, worker.rank))
        inputs = to_device(batch, worker.device)
        mask = self._sampling_mask(progress, batch.num_planned, *inputs.targets.class_ids.shape)
        sums = torch.zeros(5, dtype=torch.float64, device=worker.device)
        sums[4] = len(batch.errors)
        num_parts = min(config.training.accumulation_steps, batch.num_planned)
        first = 0
        for number, part in enumerate(inputs.split(num_parts), start=1):
            part_mask = None
            if mask is not None and first < len(batch.labels):  # the others are stand-ins
                part_mask = mask[first : first + len(part.weights)]
            first += len(part.weights)
            with self._reduced_by(wrapped, is_last=number == num_parts):
                with torch.autocast(
                    worker.device.type, dtype=self.dtype, enabled=self.dtype is not None
                ):
                    output: LossOutput = wrapped(
                        part.images,
                        part.content_width,
                        part.targets,
                        label_smoothing=config.training.label_smoothing,
                        sampling_mask=part_mask,
                    )
                loss = (output.losses * part.weights).sum()
                # DDP averages over ranks, and every rank's share of a step is planned equal.
                self.scaler.scale(loss / batch.num_planned).backward()
            sums[0] += loss.detach()
            sums[1] += part.weights.sum()
            sums[2] += output.num_correct_tokens
            sums[3] += output.num_tokens
        return PendingStep(progress.global_step, sums, self._update(), batch.keys[:4], factor)

    def _update(self) -> Tensor:
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.clip_grad_norm_(
            self.model.parameters(), self.config.optimizer.clip_norm, error_if_nonfinite=False
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
        optimizer = self.config.optimizer
        factor = learning_rate_factor(
            optimizer.schedule, progress.global_step, progress.total_steps, optimizer.warmup
        )
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_rate"] * factor
        return factor

    def _sampling_mask(
        self, progress: Progress, num_planned: int, num_samples: int, num_chars: int
    ) -> Bool[Tensor, "batch steps"] | None:
        training, worker = self.config.training, self.worker
        forcing = training.teacher_forcing
        probability = teacher_forcing_probability(
            progress.epoch, forcing.start, forcing.end, training.epochs
        )
        if probability >= 1:
            return None
        # Drawn for the global batch, so that it does not depend on the number of workers.
        seed = _mix(training.seed, progress.global_step)
        shape = (num_planned * worker.world_size, self.config.text.max_chars + 1)
        drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) >= probability
        first = worker.rank * num_planned
        return drawn[first : first + num_samples, : num_chars + 1].to(worker.device)


def _mix(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
