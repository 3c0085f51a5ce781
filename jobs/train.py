"""Train a recogniser: `python jobs/train.py [--config PATH] [--set section.key=value ...]`."""

import logging
import os
import sys
from pathlib import Path

from ocr_model.config import parse_command_line
from ocr_model.errors import OCRError
from ocr_model.training.config import TrainConfig
from ocr_model.training.console import TrainingConsole, evaluate_command


def main() -> None:
    """Run the job."""
    quickstart = Path(__file__).parent / "configs" / "quickstart.yaml"
    config = parse_command_line(TrainConfig, "Train a recogniser.", default_config=quickstart)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if "RAY_ADDRESS" not in os.environ:  # a local Ray needs no second environment for `uv run`
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    from ocr_model.ray_session import connected  # noqa: PLC0415  # Ray reads it
    from ocr_model.training import recognizer_trainer, trainer  # noqa: PLC0415  # the same

    try:
        trainer.open_folder(config.run)  # what is wrong with it is said before Ray starts
        with connected(), TrainingConsole() as console:
            outcome = recognizer_trainer.run_training(config, console.report)
    except OCRError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on from the last checkpoint.", file=sys.stderr)
        sys.exit(130)
    if outcome.was_finished:
        print(f"Run {config.run.name!r} had ended before; give another run.name to train anew.")
    exact, bundle = outcome.metrics["word_accuracy_exact"], outcome.bundle
    print(f"Ended: {outcome.reason}. Validation words read exactly: {exact:.1%}")
    print(f"Bundle: {bundle}\nReport: {outcome.report}\nNext:   {evaluate_command(config, bundle)}")


if __name__ == "__main__":
    main()
