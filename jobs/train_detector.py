"""Train a detector: `python jobs/train_detector.py [--config PATH] [--set key=value ...]`."""

from pathlib import Path

from ocr_model.entry_points import begin_job, ending_in_one_line
from ocr_model.training.console import DETECTOR_COLUMNS, TrainingConsole, describe_boxes
from ocr_model.training.detector_config import DetectorTrainConfig


def main() -> None:
    """Run the job."""
    quickstart = Path(__file__).parent / "configs" / "detector.yaml"
    config = begin_job(DetectorTrainConfig, "Train a detector.", default_config=quickstart)
    from ocr_model.ray_session import connected  # noqa: PLC0415  # Ray: after begin_job
    from ocr_model.training import detector_trainer  # noqa: PLC0415  # the same
    from ocr_model.training.outcome import open_folder  # noqa: PLC0415  # the same

    with ending_in_one_line(
        interrupted="Interrupted; the same command goes on from the last checkpoint."
    ):
        open_folder(config.run)  # what is wrong with it is said before Ray starts
        with connected(), TrainingConsole(columns=DETECTOR_COLUMNS) as console:
            outcome = detector_trainer.run_detector_training(config, console.report)
    if outcome.was_finished:
        print(f"Run {config.run.name!r} had ended before; give another run.name to train anew.")
    print(f"Ended: {outcome.reason}. {describe_boxes(outcome.metrics)}")
    print(f"Bundle: {outcome.bundle}\nReport: {outcome.report}")


if __name__ == "__main__":
    main()
