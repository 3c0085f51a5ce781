"""Train a recogniser: `python jobs/train.py [--config PATH] [--set section.key=value ...]`."""

from pathlib import Path

from ocr_model.entry_points import begin_job, ending_in_one_line
from ocr_model.training.config import TrainConfig
from ocr_model.training.console import TrainingConsole, evaluate_command


def main() -> None:
    """Run the job."""
    quickstart = Path(__file__).parent / "configs" / "quickstart.yaml"
    config = begin_job(TrainConfig, "Train a recogniser.", default_config=quickstart)
    from ocr_model.ray_session import connected  # noqa: PLC0415  # Ray: after begin_job
    from ocr_model.training import recognizer_trainer  # noqa: PLC0415  # the same
    from ocr_model.training.outcome import open_folder  # noqa: PLC0415  # the same

    with ending_in_one_line(
        interrupted="Interrupted; the same command goes on from the last checkpoint."
    ):
        open_folder(config.run)  # what is wrong with it is said before Ray starts
        with connected(), TrainingConsole() as console:
            outcome = recognizer_trainer.run_training(config, console.report)
    if outcome.was_finished:
        print(f"Run {config.run.name!r} had ended before; give another run.name to train anew.")
    exact, bundle = outcome.metrics["word_accuracy_exact"], outcome.bundle
    print(f"Ended: {outcome.reason}. Validation words read exactly: {exact:.1%}")
    if not exact:
        print("It reads nothing yet: it wants more words, epochs or minutes; the curves say more.")
    print(f"Bundle: {bundle}\nReport: {outcome.report}\nNext:   {evaluate_command(config, bundle)}")


if __name__ == "__main__":
    main()
