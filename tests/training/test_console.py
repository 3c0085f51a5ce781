import io

from rich.console import Console

from ocr_model.config import load_config
from ocr_model.training.config import TrainConfig
from ocr_model.training.console import TrainingConsole, evaluate_command


def test_the_next_command_scores_the_bundle_on_the_data_of_the_run() -> None:
    config = load_config(
        TrainConfig,
        None,
        [
            "data.source=parquet",
            "data.path=[a b.parquet, c.parquet]",
            "data.validation_fraction=0.1",
        ],
    )
    assert evaluate_command(config, "runs/x/best") == (
        "uv run jobs/evaluate.py --set model=runs/x/best data.source=parquet subset=validation "
        'data.validation_fraction=0.1 \'data.path=["a b.parquet", "c.parquet"]\''
    )


def test_the_next_command_names_the_rows_and_quotes_what_yaml_would_misread() -> None:
    config = load_config(
        TrainConfig,
        None,
        [
            "data.source=folder",
            "data.path='1984'",
            "data.validation_fraction=0.1",
            "data.validation_limit=7",
            "data.limit=9",
        ],
    )
    assert evaluate_command(config, "b").endswith(
        "data.source=folder subset=validation data.validation_limit=7 data.validation_fraction=0.1 "
        "'data.path=\"1984\"'"
    )


def test_the_next_command_of_rendered_words_draws_new_ones() -> None:
    assert evaluate_command(TrainConfig(), "b").endswith(
        "model=b data.source=synthetic data.seed=1"
    )


def test_a_log_file_gets_a_line_per_epoch_and_no_bar() -> None:
    output = io.StringIO()
    shown = TrainingConsole(Console(file=output, highlight=False, width=80))
    numbers = {
        "train/loss": 1.5,
        "validation/loss": 1.25,
        "validation/word_accuracy": 0.5,
        "validation/word_accuracy_exact": 0.25,
        "validation/cer": 0.125,
        "train/images_per_second": 400.0,
        "seconds": 9.0,
    }
    with shown:
        dropped = {"seen": 5, "kept": 4, "dropped": {"empty_label": 1}}
        kept = {"seen": 2, "kept": 2, "dropped": {}}
        shown.report({"event": "dataset", "train": dropped, "validation": kept})
        shown.report({"event": "step", "epoch": 1, "step": 1, "total_steps": 2, "loss": 1.0})
        shown.report({"event": "epoch", "epoch": 1.0, "is_best": 1.0, **numbers})
        numbers |= {"unreadable/empty": 2.0, "unreadable/truncated": 1.0}
        for epoch in (2.0, 3.0):
            shown.report({"event": "epoch", "epoch": epoch, "is_best": 0.0, **numbers})
    lines = output.getvalue().splitlines()
    assert lines[0] == "train: 4 of 5 samples; dropped: 1 empty_label"
    assert lines[1] == "validation: 2 of 2 samples"
    assert lines[2].split() == [
        "epoch", "loss", "val", "loss", "exact", "36-char", "CER", "images/s", "seconds",
    ]  # fmt: skip
    assert lines[3].split() == ["1", "1.500", "1.250", "25.0%", "50.0%", "12.50%", "400", "9", "*"]
    told = "images that cannot be read: 2 empty, 1 truncated; see unreadable_images.jsonl"
    assert [line == told for line in lines[4:]] == [False, True, False]
