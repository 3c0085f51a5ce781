"""What jobs/export.py says."""

from ocr_model.commands import job_command
from ocr_model.exporting.checking import Figures
from ocr_model.exporting.config import ExportConfig
from ocr_model.exports import ExportKind


def summary(kind: ExportKind, figures: Figures) -> str:
    """Return one line of figures, before and after."""
    before, after = figures.before, figures.after
    return (
        f"{kind}: {_percent(before)} -> {_percent(after)} of {figures.development_words} words "
        f"exactly, ECE {before['ece']:.3f} -> {after['ece']:.3f}, "
        f"{before['words_per_second']:.0f} -> {after['words_per_second']:.0f} words/s on "
        f"{figures.threads} threads, {figures.same_readings:.1%} read the same"
    )


def evaluate_command(config: ExportConfig) -> str:
    """Return the command that scores the last kind on the words that it was checked on, or more."""
    data = config.data
    settings: dict[str, object] = {"model": config.model, "kind": config.kinds[-1]}
    given = {name: value for name, value in data.given().items() if "limit" not in name}
    settings |= {f"data.{name}": value for name, value in given.items()}
    if data.sets_rows_apart:
        settings["subset"] = "validation"
    return job_command("evaluate.py", settings)


def _percent(figures: dict[str, int | float]) -> str:
    return f"{figures['word_accuracy_exact']:.1%}"
