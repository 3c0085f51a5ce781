"""The training loop of one worker, in plain torch.

It is handed its data, its folder and its place among the ranks, and knows nothing of Ray. All ranks
run it in step: whatever decides (stop, best, budget, failure) is reduced first, so each decides
alike. Randomness is seeded anew at every step from (seed, step, rank), so the step number is the
whole random state and a resumed run repeats the undisturbed one.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

import torch
import torch.distributed as dist

from ocr_model.errors import CheckpointError, NonFiniteLossError, OCRError
from ocr_model.model_folder import round_to_half
from ocr_model.models.interface import TrainableModel
from ocr_model.training.budget import TimeBudget
from ocr_model.training.checkpoint import Progress
from ocr_model.training.epochs import close_epoch, epoch_figures
from ocr_model.training.optimization import build_average, freeze_batch_norm, set_encoder_frozen
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.run_state import BEST, LAST, RunState
from ocr_model.training.step import PendingStep, Stepper
from ocr_model.training.sync_batch_norm import synchronize_batch_norm
from ocr_model.training.task import Batch, Sample, Task
from ocr_model.training.unreadable import check_unreadable, count_by_reason
from ocr_model.training.worker import TrainData, Worker

_REPORT_SECONDS = 0.5

Report = Callable[[dict[str, Any]], None]
"""Takes `event` (`step` or `epoch`) with numbers; epochs count from 1. Called on rank 0 only."""


@dataclass(frozen=True)
class TrainResult(Generic[Sample]):
    """How a run ended."""

    progress: Progress
    """`progress.finished` says why."""
    metrics: dict[str, float]
    """Of the best epoch's weights on the whole validation part."""
    model: TrainableModel
    """With the best weights."""
    samples: list[Sample]
    """Validation samples of all ranks, judged with them: of each the most telling."""


def train_task(
    task: Task[Batch, Sample],
    data: TrainData[Batch, Any],
    folder: RunFolder,
    *,
    worker: Worker | None = None,
    report: Report = lambda _: None,
    provenance: dict[str, Any] | None = None,
) -> TrainResult[Sample]:
    """Train, or go on where the run in `folder` stopped, to the end; then write `best/`.

    Raises:
        ConfigError: The model cannot be built.
        NonFiniteLossError: Training diverged; raised on all ranks.
        CheckpointError: The state could not be written or belongs to other settings; on all ranks.
        DatasetError: More images than allowed could not be read; on all ranks.
    """
    worker = worker or Worker()
    loop, fault = None, None
    try:
        loop = _Loop(task, data, folder, worker, report)
    except OCRError as error:
        fault = error
    worker.agree(fault)
    assert loop is not None
    loop.require_same_position()
    while not loop.progress.finished:
        loop.run_epoch()
    return loop.finish(provenance or {})


class _Loop(Generic[Batch, Sample]):
    def __init__(
        self,
        task: Task[Batch, Sample],
        data: TrainData[Batch, Any],
        folder: RunFolder,
        worker: Worker,
        report: Report,
    ) -> None:
        self.task, self.config, self.data = task, task.config, data
        self.folder, self.worker, self.report = folder, worker, report
        training = self.config.training
        torch.manual_seed(training.seed)
        model = task.build_model()
        model = model.to(worker.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        if worker.world_size > 1 and training.sync_batch_norm:
            synchronize_batch_norm(model, worker.device)
        self.model: TrainableModel = model
        self.stepper = Stepper(task, model, worker)
        average = build_average(model, training.average_decay)
        self.planned_steps = sum(map(data.num_steps, range(training.epochs)))
        progress = Progress(
            total_steps=self.planned_steps, num_streams=task.num_streams(worker.world_size)
        )
        self.state = RunState(
            self.config,
            task.characters,
            data.fingerprint,
            model,
            self.stepper.optimizer,
            self.stepper.scaler,
            progress,
            average,
        )
        self.state.resume(folder)
        self.progress, self.unreadable = self.state.progress, self.state.unreadable
        self.started = time.monotonic() - self.progress.seconds
        self.last_report = 0.0
        self.budget = None
        if training.max_minutes is not None:
            self.budget = TimeBudget(
                seconds=60 * training.max_minutes,
                planned_steps=self.planned_steps,
                started=self.started,
                first_step=self.progress.global_step,
            )

    def require_same_position(self) -> None:
        """Refuse to train where ranks found different checkpoints."""
        positions = self.worker.gather((self.progress.epoch, self.progress.global_step))
        if len(set(positions)) > 1:
            raise CheckpointError(
                f"workers found different checkpoints (epoch and step {positions}); run.storage "
                "must be a folder that all nodes share, or a bucket"
            )

    def run_epoch(self) -> None:
        """Train to the end of the epoch under way, validate, decide, save."""
        metrics = self._train_epoch()
        validation = self.task.validate(self.state.kept_model, self.data, self.worker)
        self.unreadable.update(validation.errors)
        self._check_unreadable(validation.num_unreadable, validation.num_images)
        metrics |= {f"validation/{name}": value for name, value in validation.metrics.items()}
        for reason, count in count_by_reason(self.unreadable).items():
            metrics[f"unreadable/{reason}"] = float(count)  # of the whole run, each image once
        metrics["seconds"] = time.monotonic() - self.started
        metrics["unix_seconds"] = time.time()
        is_best = close_epoch(
            self.progress,
            metrics,
            self.config.training,
            is_rising=self.config.training.monitor in self.task.rising,
            planned_steps=self.planned_steps,
        )
        if self.worker.rank == 0:
            self.report({"event": "epoch", "total_steps": self.progress.total_steps, **metrics})
        self._save(is_best=is_best, is_epoch_end=True)

    def finish(self, provenance: dict[str, Any]) -> TrainResult[Sample]:
        """Take the best weights, judge them, write the bundle."""
        best, fault = self.folder.load_state(BEST), None
        if best is None:
            fault = CheckpointError(f"{self.folder.address}/{BEST} is missing; was it deleted?")
        self.worker.agree(fault)
        assert best is not None
        self.model.load_state_dict(best["model"])
        if self.config.training.half_weights:
            round_to_half(self.model)
        finished = self.task.finish(self.model, self.data, self.worker, provenance)
        if self.worker.rank == 0:
            try:
                for name, content in finished.files.items():
                    self.folder.write(f"best/{name}", content)
            except CheckpointError as error:
                fault = error
        self.worker.agree(fault)
        return TrainResult(self.progress, finished.metrics, self.model, finished.samples)

    def _train_epoch(self) -> dict[str, float]:
        progress, training = self.progress, self.config.training
        self.model.train()
        set_encoder_frozen(self.model, progress.epoch < training.frozen_encoder_epochs)
        if training.frozen_batch_norm:
            freeze_batch_norm(self.model)
        wrapped = self.stepper.wrapped()
        began, num_images = time.monotonic(), 0
        pending: PendingStep | None = None
        for batch in self.data.train_batches(progress.epoch, progress.step_in_epoch):
            if progress.global_step >= progress.total_steps:
                break
            self.unreadable.update(batch.errors)
            taken = self.stepper.take(wrapped, batch, progress)
            if self.state.average is not None:
                self.state.average.update_parameters(self.model)
            progress.global_step += 1
            progress.step_in_epoch += 1
            num_images += batch.num_planned * self.worker.world_size
            if pending is not None:
                self._settle(pending)
            pending = taken
            every = training.checkpoint_every_steps
            if every and progress.global_step % every == 0:
                self._settle(pending)
                pending = None
                self._save(is_best=False, is_epoch_end=False)
            self._fit_to_budget()
        if pending is not None:
            self._settle(pending)
        seconds = time.monotonic() - began
        _, samples, _, _, unreadable = progress.sums
        self._check_unreadable(unreadable, samples + unreadable)
        return epoch_figures(
            progress,
            self.worker.device,
            learning_rate=self.stepper.optimizer.param_groups[0]["lr"],
            images_per_second=num_images / seconds,
        )

    def _settle(self, step: PendingStep) -> None:
        """Take in a step's numbers, one step late so that the device never waits for the host."""
        own_loss = step.sums[0].clone()
        if self.worker.world_size > 1:
            dist.all_reduce(step.sums)
        sums = step.sums.tolist()
        is_finite = math.isfinite(sums[0])
        # float16 gradients overflow now and then, and the scaler skips those; a loss never may.
        if is_finite and self.stepper.dtype is not torch.float16:
            is_finite = bool(torch.isfinite(step.norm))
        if not is_finite:
            raise self._divergence(step, float(own_loss), sums[0])
        progress = self.progress
        progress.sums = [a + b for a, b in zip(progress.sums, sums, strict=True)]
        now = time.monotonic()
        if self.worker.rank == 0 and now - self.last_report >= _REPORT_SECONDS:
            self.last_report = now
            self.report(
                {
                    "event": "step",
                    "epoch": progress.epoch + 1,
                    "step": progress.global_step,
                    "total_steps": progress.total_steps,
                    "loss": sums[0] / max(sums[1], 1),
                }
            )

    def _divergence(self, step: PendingStep, own_loss: float, loss: float) -> NonFiniteLossError:
        """Name the samples of a rank whose own loss is not finite, if it is that of any."""
        batches = self.worker.gather((own_loss, step.keys))
        culprits = [rank for rank, (value, _) in enumerate(batches) if not math.isfinite(value)]
        rank = culprits[0] if culprits else 0
        rate = self.config.optimizer.learning_rate * step.factor
        message = (
            f"step {step.number + 1} (epoch {self.progress.epoch + 1}): loss {loss}, gradient norm "
            f"{float(step.norm):.3g}, learning rate {rate:.3g}; the batch of rank {rank} begins "
            f"with {batches[rank][1]}. Lower optimizer.learning_rate or look at these samples"
        )
        if self.folder.has(LAST):
            message += "; the last checkpoint is intact"
        return NonFiniteLossError(message)

    def _fit_to_budget(self) -> None:
        progress = self.progress
        if self.budget is None:
            return
        fitted = self.budget.fitted_steps(
            progress.global_step, progress.total_steps, time.monotonic()
        )
        if fitted is not None:
            progress.total_steps = self.worker.from_first(fitted)  # ranks have clocks of their own

    def _check_unreadable(self, num_unreadable: float, num_seen: float) -> None:
        check_unreadable(
            self.unreadable,
            self.worker,
            self.folder,
            num_unreadable=num_unreadable,
            num_seen=num_seen,
            allowed=self.config.training.max_unreadable,
        )

    def _save(self, *, is_best: bool, is_epoch_end: bool) -> None:
        fault = None
        if self.worker.rank == 0:
            self.progress.seconds = time.monotonic() - self.started
            try:
                self.state.save(self.folder, is_best=is_best, is_epoch_end=is_epoch_end)
            except CheckpointError as error:
                fault = error
        self.worker.agree(fault)
