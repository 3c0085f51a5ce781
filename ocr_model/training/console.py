"""A run on the terminal: a bar while it trains, a line per epoch."""

from typing import Any

from rich.console import Console
from rich.progress import TimeRemainingColumn

from ocr_model.commands import job_command
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.progress import ProgressConsole
from ocr_model.training.config import TrainConfig
from ocr_model.training.unreadable import LIST_FILE

RECOGNIZER_COLUMNS = (
    ("epoch", "epoch", "{:.0f}"),
    ("loss", "train/loss", "{:.3f}"),
    ("val loss", "validation/loss", "{:.3f}"),
    ("exact", "validation/word_accuracy_exact", "{:.1%}"),
    ("36-char", "validation/word_accuracy", "{:.1%}"),
    ("CER", "validation/cer", "{:.2%}"),
    ("images/s", "train/images_per_second", "{:.0f}"),
    ("seconds", "seconds", "{:.0f}"),
)
DETECTOR_COLUMNS = (
    ("epoch", "epoch", "{:.0f}"),
    ("loss", "train/loss", "{:.3f}"),
    ("prec.", "validation/precision", "{:.1%}"),
    ("recall", "validation/recall", "{:.1%}"),
    ("H-mean", "validation/hmean", "{:.1%}"),
    ("crops/s", "train/images_per_second", "{:.0f}"),
    ("seconds", "seconds", "{:.0f}"),
)
Columns = tuple[tuple[str, str, str], ...]
"""Title, metric, and how it is written."""


def evaluate_command(config: TrainConfig, bundle: str) -> str:
    """Return the command that scores a run's bundle: on new rendered words, or on its own data."""
    data = config.data
    settings: dict[str, object] = {"model": bundle, "data.source": data.source}
    given = data.given()
    given.pop("limit", None)
    if isinstance(data, SyntheticSource):
        given |= {"seed": data.seed + 1}
        given.pop("validation_limit", None)  # all of the new words are read
    else:
        settings["subset"] = "validation"
    settings |= {f"data.{name}": value for name, value in given.items()}
    return job_command("evaluate.py", settings)


def describe_boxes(metrics: dict[str, float]) -> str:
    """Say in a sentence how good the kept weights are."""
    return (
        f"{metrics['num_words']:.0f} words on {metrics['num_pages']:.0f} validation pages: "
        f"precision {metrics['precision']:.1%}, recall {metrics['recall']:.1%}, "
        f"H-mean {metrics['hmean']:.1%} at IoU 0.5"
    )


class TrainingConsole(ProgressConsole):
    """Shows the events of `run_training`; in a log file, the lines without the bar."""

    def __init__(
        self, console: Console | None = None, columns: Columns = RECOGNIZER_COLUMNS
    ) -> None:
        console = console or Console(highlight=False)
        super().__init__(console, "starting workers", TimeRemainingColumn())
        self._columns = columns
        self._has_header = False
        self._unreadable: dict[str, float] = {}

    def report(self, event: dict[str, Any]) -> None:
        """Show one event."""
        match event["event"]:
            case "dataset":
                for name in ("train", "validation"):
                    self._show_subset(name, event[name])
            case "step":
                self._bar.update(
                    self._task,
                    completed=event["step"],
                    total=event["total_steps"],
                    description=f"epoch {event['epoch']}  loss {event['loss']:.3f}",
                )
            case "epoch":
                self._show_epoch(event)
            case _:
                raise AssertionError(event)

    def _show_subset(self, name: str, subset: dict[str, Any]) -> None:
        dropped = ", ".join(f"{n} {reason}" for reason, n in subset["dropped"].items())
        self.console.print(
            f"{name}: {subset['kept']} of {subset['seen']} samples"
            + (f"; dropped: {dropped}" if dropped else "")
        )

    def _show_epoch(self, event: dict[str, Any]) -> None:
        if not self._has_header:
            self._has_header = True
            self.console.print(" ".join(f"{title:>8}" for title, _, _ in self._columns))
        cells = [form.format(event[key]) for _, key, form in self._columns]
        mark = " *" if event["is_best"] else ""
        self.console.print(" ".join(f"{cell:>8}" for cell in cells) + mark)
        counts = {k: n for k, n in event.items() if k.startswith("unreadable/")}
        if counts != self._unreadable:
            self._unreadable = counts
            told = ", ".join(f"{n:.0f} {key.partition('/')[2]}" for key, n in counts.items())
            self.console.print(f"images that cannot be read: {told}; see {LIST_FILE}")
