"""How a run ended, as its folder keeps it."""

import json
import logging
from dataclasses import dataclass

import yaml

from ocr_model.ray_session import require_lasting
from ocr_model.training.checkpoint import require_same_settings
from ocr_model.training.config import LaunchSettings, RunConfig
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.run_state import LAST, require_whole

logger = logging.getLogger(__name__)

OUTCOME_FILE = "outcome.json"


@dataclass(frozen=True)
class TrainOutcome:
    """How a run ended, and where its results are."""

    reason: str
    bundle: str
    report: str
    metrics: dict[str, float]
    was_finished: bool
    """The run had ended before this command; nothing was trained."""


def finished_before(config: LaunchSettings, folder: RunFolder) -> TrainOutcome | None:
    """Return how the run in a folder ended, or None where it has not begun or may go on.

    Raises:
        CheckpointError: It was begun with other settings, or its last checkpoint is not whole.
    """
    former = folder.read("config.yaml")
    if former is not None and folder.has(LAST):
        require_same_settings(config, yaml.safe_load(former))
    finished = _former_outcome(folder)
    if finished is None:
        require_whole(folder)
    return finished


def open_folder(run: RunConfig) -> RunFolder:
    """Open the run's folder, creating it; needs no cluster.

    Raises:
        CheckpointError: It cannot be written to.
        ConfigError: It would vanish with the job.
    """
    require_lasting("run.storage", run.storage)
    return RunFolder(run.storage, run.name)


def _former_outcome(folder: RunFolder) -> TrainOutcome | None:
    written = folder.read(OUTCOME_FILE)
    if written is None:
        return None
    try:
        return TrainOutcome(**json.loads(written) | {"was_finished": True})
    except (ValueError, TypeError) as error:
        logger.warning(
            "%s/%s is damaged (%s); the run is taken up from its last checkpoint",
            folder.address,
            OUTCOME_FILE,
            error,
        )
        return None
