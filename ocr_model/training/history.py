"""The metrics of a run, as JSON lines and for TensorBoard."""

import json
import tempfile
from pathlib import Path

from tensorboardX import SummaryWriter

from ocr_model.errors import CheckpointError
from ocr_model.training.run_folder import RunFolder

_NOT_CURVES = {"epoch", "step", "unix_seconds", "is_best"}


def write_history(folder: RunFolder, history: list[dict[str, float]]) -> None:
    """Write `metrics.jsonl` and `tensorboard/` anew from all epochs.

    Both are small, and written whole: a resumed run leaves neither gaps nor repeats, in a bucket
    as on a disk.
    """
    lines = [json.dumps(entry) + "\n" for entry in history]
    folder.write("metrics.jsonl", "".join(lines).encode())
    try:
        folder.write("tensorboard/events.out.tfevents.0.run", _event_file(history))
    except OSError as error:
        raise CheckpointError(f"no room for temporary files: {error}") from error


def _event_file(history: list[dict[str, float]]) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        with SummaryWriter(scratch, filename_suffix=".run") as writer:
            for entry in history:
                for name in entry.keys() - _NOT_CURVES:
                    writer.add_scalar(
                        name, entry[name], int(entry["step"]), walltime=entry["unix_seconds"]
                    )
        (events,) = Path(scratch).iterdir()
        return events.read_bytes()
