"""What an epoch comes to: its figures, whether it is the best so far, and why it is the last."""

import torch

from ocr_model.training.checkpoint import Progress
from ocr_model.training.config import LoopConfig


def epoch_figures(
    progress: Progress,
    device: torch.device,
    *,
    learning_rate: float,
    images_per_second: float,
) -> dict[str, float]:
    """Return the figures of the training of the epoch under way, from its sums."""
    loss, samples, right, tokens, unreadable = progress.sums
    figures = {
        "epoch": float(progress.epoch + 1),
        "step": float(progress.global_step),
        "train/loss": loss / max(samples, 1),
        "train/learning_rate": learning_rate,
        "train/unreadable_images": unreadable,
        "train/images_per_second": images_per_second,
    }
    if tokens:
        figures["train/token_accuracy"] = right / tokens
    if device.type == "cuda":
        figures["train/device_memory_bytes"] = float(torch.cuda.max_memory_allocated())
    return figures


def close_epoch(
    progress: Progress,
    metrics: dict[str, float],
    training: LoopConfig,
    *,
    is_rising: bool,
    planned_steps: int,
) -> bool:
    """Record an epoch; return whether it is the best so far, and set why the run is over.

    Args:
        progress: The run's; it goes on to the next epoch.
        metrics: The epoch's, with the monitored one; `is_best` is added to them.
        training: What is monitored, and how patiently.
        is_rising: Whether more of what is monitored is better.
        planned_steps: Of a run whose time is not used up before.
    """
    value, best = metrics[f"validation/{training.monitor}"], progress.best_value
    is_better = best is None or (value > best if is_rising else value < best)
    metrics["is_best"] = float(is_better)
    progress.history.append(metrics)
    if is_better:
        progress.best_value, progress.best_epoch = value, progress.epoch
    progress.num_bad_epochs = 0 if is_better else progress.num_bad_epochs + 1
    progress.sums = [0.0] * len(progress.sums)
    progress.step_in_epoch = 0
    progress.epoch += 1
    if progress.num_bad_epochs >= training.early_stopping_patience:
        patience = training.early_stopping_patience
        progress.finished = f"no better {training.monitor} in {patience} epochs"
    elif progress.global_step >= progress.total_steps:
        is_cut = progress.total_steps < planned_steps
        progress.finished = "the time is used up" if is_cut else "all epochs are done"
    return is_better
