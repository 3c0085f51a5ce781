import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from ocr_model.data.index import DatasetIndex
from ocr_model.decoding.readings import Prediction
from ocr_model.training.config import TrainConfig
from ocr_model.training.loop import TrainResult
from ocr_model.training.report import write_report
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.validation import ReadSample, choose_samples


def sample(truth: str, reading: str, confidence: float) -> ReadSample:
    image = np.zeros((32, 64, 3), np.uint8)
    return ReadSample(image, 64, truth, Prediction(reading, confidence, (confidence,)))


def decode_png(content: bytes) -> np.ndarray:
    assert content.startswith(b"\x89PNG")
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.std() > 1
    return pixels


@pytest.fixture(scope="module")
def report(
    trained_config: TrainConfig,
    trained_index: DatasetIndex,
    trained_result: TrainResult,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    storage = tmp_path_factory.mktemp("reported")
    write_report(RunFolder(str(storage), "run"), trained_config, trained_index, trained_result)
    return storage / "run" / "report"


def test_the_report_is_one_page_that_needs_no_other_file(report: Path) -> None:
    page = (report / "index.html").read_text(encoding="utf-8")
    sources = re.findall(r'src="([^"]*)"', page)
    assert len(sources) >= 2
    for source in sources:
        head, _, content = source.partition(",")
        assert head == "data:image/png;base64"
        decode_png(base64.b64decode(content))
    assert "http://" not in page
    assert "https://" not in page


def test_the_pictures_lie_beside_the_page(report: Path) -> None:
    names = {path.name for path in report.iterdir()}
    assert {"index.html", "curves.png", "samples.png"} <= names
    for path in report.glob("*.png"):
        assert min(decode_png(path.read_bytes()).shape[:2]) > 50


def test_the_page_has_the_metrics_every_epoch_and_the_data(
    report: Path, trained_result: TrainResult, trained_index: DatasetIndex
) -> None:
    page = (report / "index.html").read_text(encoding="utf-8")
    assert f"<td>{trained_result.metrics['cer']:.2%}</td>" in page
    assert "all epochs are done" in page
    for entry in trained_result.progress.history:
        assert f"<td>{entry['train/loss']:.3f}</td>" in page
    assert f"<td>{trained_index.reports['train'].num_kept}</td>" in page


def test_settings_cannot_put_markup_into_the_page(report: Path) -> None:
    page = (report / "index.html").read_text(encoding="utf-8")
    assert "&lt;i&gt;words.parquet" in page  # the data's file name
    assert "<i>words" not in page


def test_words_of_any_signs_are_drawn(
    trained_config: TrainConfig,
    trained_index: DatasetIndex,
    trained_result: TrainResult,
    tmp_path: Path,
) -> None:
    words = ["<b>bold</b>", "$x_1$ & $", "\\frac", "", "{}^_%", "<script>alert(1)</script>"]
    samples = [sample(truth, reading, 0.5) for truth in words for reading in ("a", truth)]
    result = TrainResult(
        trained_result.progress, trained_result.metrics, trained_result.model, samples
    )
    write_report(RunFolder(str(tmp_path), "run"), trained_config, trained_index, result)
    decode_png((tmp_path / "run/report/samples.png").read_bytes())
    page = (tmp_path / "run/report/index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<b>" not in page


def test_a_run_without_samples_still_gets_its_report(
    trained_config: TrainConfig,
    trained_index: DatasetIndex,
    trained_result: TrainResult,
    tmp_path: Path,
) -> None:
    result = TrainResult(trained_result.progress, trained_result.metrics, trained_result.model, [])
    write_report(RunFolder(str(tmp_path), "run"), trained_config, trained_index, result)
    assert (tmp_path / "run/report/index.html").stat().st_size > 1000


def test_the_surest_mistakes_come_first_and_then_the_least_sure_successes() -> None:
    samples = [
        sample("a", "a", 0.9),
        sample("b", "x", 0.2),
        sample("c", "c", 0.4),
        sample("d", "y", 0.8),
        sample("e", "", 0.5),
    ]
    chosen = choose_samples(samples)
    assert [s.label for s in chosen] == ["d", "e", "b", "c", "a"]


@pytest.mark.parametrize(
    ("num_wrong", "num_right", "shown_wrong", "shown_right"),
    [(100, 100, 36, 12), (100, 5, 43, 5), (5, 100, 5, 43), (3, 4, 3, 4), (100, 0, 48, 0)],
)
def test_at_most_48_samples_are_shown_and_some_successes_among_them(
    num_wrong: int, num_right: int, shown_wrong: int, shown_right: int
) -> None:
    samples = [sample("a", "b", i / 200) for i in range(num_wrong)]
    samples += [sample("a", "a", i / 200) for i in range(num_right)]
    chosen = choose_samples(samples)
    is_right = [s.label == s.prediction.text for s in chosen]
    assert (is_right.count(False), is_right.count(True)) == (shown_wrong, shown_right)
