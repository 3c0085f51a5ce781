"""Train a detector: `python jobs/train_detector.py [--config PATH] [--set key=value ...]`."""

import logging
import os
import sys
from pathlib import Path

from ocr_model.config import parse_command_line
from ocr_model.errors import OCRError
from ocr_model.training.console import DETECTOR_COLUMNS, TrainingConsole, describe_boxes
from ocr_model.training.detector_config import DetectorTrainConfig


def main() -> None:
    """Run the job."""
    quickstart = Path(__file__).parent / "configs" / "detector.yaml"
    config = parse_command_line(DetectorTrainConfig, "Train a detector.", default_config=quickstart)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if "RAY_ADDRESS" not in os.environ:  # a local Ray needs no second environment for `uv run`
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    from ocr_model.ray_session import connected  # noqa: PLC0415  # Ray reads it
    from ocr_model.training import detector_trainer, trainer  # noqa: PLC0415  # the same

    try:
        trainer.open_folder(config.run)  # what is wrong with it is said before Ray starts
        with connected(), TrainingConsole(columns=DETECTOR_COLUMNS) as console:
            outcome = detector_trainer.run_detector_training(config, console.report)
    except OCRError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on from the last checkpoint.", file=sys.stderr)
        sys.exit(130)
    if outcome.was_finished:
        print(f"Run {config.run.name!r} had ended before; give another run.name to train anew.")
    print(f"Ended: {outcome.reason}. {describe_boxes(outcome.metrics)}")
    print(f"Bundle: {outcome.bundle}\nReport: {outcome.report}")


if __name__ == "__main__":
    main()
