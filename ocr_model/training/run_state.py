"""A run's whole state: taken up from a checkpoint, written to one."""

import logging
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel

from ocr_model.errors import CheckpointError
from ocr_model.models.interface import TrainableModel
from ocr_model.training.checkpoint import Progress, require_same_settings
from ocr_model.training.config import RunSettings
from ocr_model.training.history import write_history
from ocr_model.training.run_folder import RunFolder

logger = logging.getLogger(__name__)

LAST, BEST = "last.pt", "best.pt"


def require_whole(folder: RunFolder) -> None:
    """Refuse a `last.pt` that was cut short; reads no more than its end.

    Raises:
        CheckpointError: It was; the message says what to do.
    """
    if folder.has(LAST) and not folder.is_archive(LAST):
        raise CheckpointError(f"{folder.address}/{LAST} is not whole. {_remedy(folder)}")


def _remedy(folder: RunFolder) -> str:
    remedy = "Bring it back, or delete it to begin this run anew"
    if folder.is_archive(BEST):
        remedy += f"; {BEST}, the best weights so far, is whole, but a new beginning overwrites it"
    return remedy


@dataclass
class RunState:
    """What a run has come to, and what it must match to go on."""

    config: RunSettings
    characters: str
    """The vocabulary; empty where the model has none."""
    data_fingerprint: int
    """Changes when other rows make up the training part."""
    model: TrainableModel
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    progress: Progress
    average: AveragedModel | None = None
    """Of the model; None where the model itself is kept."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Reasons by key, of the images that could not be read."""

    @property
    def kept_model(self) -> TrainableModel:
        """What is validated and becomes the result: the average, where there is one."""
        if self.average is None:
            return self.model
        kept = self.average.module
        assert isinstance(kept, TrainableModel)
        return kept

    def save(self, folder: RunFolder, *, is_best: bool, is_epoch_end: bool) -> None:
        """Write `last.pt`, and with it `best.pt` and the metrics.

        Raises:
            CheckpointError: The folder cannot be written.
        """
        if is_best:
            folder.save_state(BEST, {"model": self.kept_model.state_dict()})
        folder.save_state(LAST, self._to_state())
        if is_epoch_end:
            write_history(folder, self.progress.history)

    def resume(self, folder: RunFolder) -> None:
        """Take up the run in `folder`, if there is one.

        Raises:
            CheckpointError: It is damaged, of another version, or of other settings or data.
        """
        try:
            state = folder.load_state(LAST)
        except CheckpointError as error:
            raise CheckpointError(f"{error}. {_remedy(folder)}") from error
        if state is None:
            return
        self._require_complete(state, folder)
        require_same_settings(self.config, state["config"])
        if state["charset"] != self.characters:
            raise CheckpointError(
                "the training data has other characters than when this run began; give the run "
                "another run.name, or the data it began with"
            )
        if state["data"] != self.data_fingerprint:
            raise CheckpointError(
                "the training part has other rows than when this run began; give the run another "
                "run.name, or the data it began with"
            )
        num_streams = self.progress.num_streams
        self.progress = Progress.from_state(state["progress"])
        if self.progress.num_streams != num_streams:
            raise CheckpointError(
                f"this run reads each batch in {self.progress.num_streams} parts, not "
                f"{num_streams}: set training.num_streams={self.progress.num_streams} and a "
                "number of workers that divides it"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.unreadable = dict(state["unreadable"])
        logger.info("going on at epoch %d, step %d", self.progress.epoch, self.progress.global_step)

    def _require_complete(self, state: dict[str, Any], folder: RunFolder) -> None:
        """Refuse what lacks a part that this run goes on from; an average only if it has one."""
        needed = {name for name, value in self._to_state().items() if value is not None}
        missing = sorted(name for name in needed if state.get(name) is None)
        if missing:
            raise CheckpointError(
                f"{folder.address}/{LAST} is of another version: it has no {', '.join(missing)}. "
                "Go on with the version that wrote it, or give this run another run.name"
            )

    def _to_state(self) -> dict[str, Any]:
        return {
            "config": self.config.model_dump(mode="json"),
            "charset": self.characters,
            "progress": self.progress.to_state(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "unreadable": self.unreadable,
            "data": self.data_fingerprint,
            "average": None if self.average is None else self.average.state_dict(),
        }
