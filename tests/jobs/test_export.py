import json
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load, save

from ocr_model import Recognizer
from ocr_model.charset import Normalization
from ocr_model.config import load_config
from ocr_model.data.fragments import SubsetIndex
from ocr_model.errors import DatasetError, ExportError
from ocr_model.exporting.checking import Figures, require_alike
from ocr_model.exporting.config import ExportConfig
from ocr_model.exporting.words import choose_words
from ocr_model.inference.evaluation import EvaluateConfig, evaluate
from ocr_model.model_folder import weights_metadata
from ocr_model.weights import RECOGNIZER, find_model

JOB = str(Path(__file__).parents[2] / "jobs" / "export.py")


@pytest.fixture
def bundle(bundle_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))


@pytest.fixture(scope="module")
def words(write_words: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [
        f"{first}{second}{third}" for first in "abc" for second in "xyz" for third in "123456789"
    ]
    return write_words(tmp_path_factory.mktemp("words") / "words.parquet", texts)


@pytest.fixture
def export(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return a function of settings that gives what the job prints."""

    def run(*settings: str) -> str:
        monkeypatch.setattr(sys, "argv", [JOB, "--set", *settings])
        runpy.run_path(JOB, run_name="__main__")
        return capsys.readouterr().out

    return run


def test_the_job_makes_all_kinds_and_says_how_they_read(
    export: Callable[..., str], words: Path, tmp_path: Path
) -> None:
    """Of a model that reads: of one that guesses, rounding to 8 bits changes what it guesses."""
    bundle = Path(shutil.copytree(find_model(RECOGNIZER), tmp_path / "bundle"))
    printed = export(
        f"model={bundle}", "data.source=parquet", f"data.path={words}", "calibration_words=40",
        "max_points_lost=100",
    )  # fmt: skip
    assert "100.0% read the same" in printed
    assert f"int8:  {bundle / 'int8'}" in printed
    assert f"jobs/evaluate.py --set model={bundle} kind=half data.source=parquet" in printed
    for kind in ("onnx", "int8", "half"):
        said = json.loads((bundle / kind / "export.json").read_text())
        assert {"word_accuracy_exact", "ece", "words_per_second"} <= said["figures"]["after"].keys()
        assert said["figures"]["development_words"] == 41
        assert len(Recognizer.load(bundle, kind=kind).read([np.zeros((9, 9, 3), np.uint8)])) == 1
    assert said["figures"]["calibration_words"] is None
    command = shlex.split(printed.splitlines()[-1].removeprefix("Next:"))
    scored = evaluate(load_config(EvaluateConfig, None, command[4:]))
    assert scored["num_words"] == 81
    sizes = [sum(p.stat().st_size for p in (bundle / kind).iterdir()) for kind in ("onnx", "int8")]
    assert sizes[1] < 0.5 * sizes[0]


def _other_weights(weights: bytes) -> bytes:
    state = {name: tensor * 0 for name, tensor in load(weights).items()}
    return save(state, metadata=weights_metadata(weights))


def test_an_export_that_reads_otherwise_is_not_kept(
    export: Callable[..., str], bundle: Path, words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocr_model.exporting.export.halve", _other_weights)
    with pytest.raises(SystemExit) as caught:
        export(f"model={bundle}", "data.source=parquet", f"data.path={words}", "kinds=[half]")
    assert str(caught.value.code).startswith("ExportError: half reads")
    assert not (bundle / "half").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model=nowhere"], "BundleError: cannot read nowhere/model.json"),
        (["kinds=[half]", "data.source=parquet", "data.path=nowhere"], "DatasetError: "),
    ],
)
def test_what_is_missing_is_one_clear_line(
    export: Callable[..., str], bundle: Path, settings: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        export(f"model={bundle}", *settings)
    assert str(caught.value.code).startswith(said)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["kinds=[onyx]"], "kinds.0: Input should be 'onnx', 'int8' or 'half', got 'onyx'"),
        (["kinds=[]"], "kinds: List should have at least 1 item"),
        (["kinds=[onnx,onnx]"], "kinds has one twice"),
        (["kinds=[half]", "calibration_words=9"], "calibration_words is of kind int8 only"),
        (["kinds=[onnx]", "max_points_lost=9"], "max_points_lost is of int8 and half"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(
    export: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    settings: list[str],
    said: str,
) -> None:
    with pytest.raises(SystemExit) as caught:
        export("model=nowhere", *settings)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_a_missing_package_names_the_extra_and_what_needs_none(
    export: Callable[..., str], bundle: Path, words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ocr_model.exporting.graphs", None)
    data = ("data.source=parquet", f"data.path={words}")
    with pytest.raises(SystemExit) as caught:
        export(f"model={bundle}", "kinds=[onnx]", *data)
    assert "pip install 'ocr-on-ray[export]'" in str(caught.value.code)
    assert "half" in export(f"model={bundle}", "kinds=[half]", *data)


def _rows(index: SubsetIndex) -> set[tuple[str, int, int]]:
    pairs = zip(index.fragments, index.rows, strict=True)
    return {(f.uri, f.part, int(row)) for f, rows in pairs for row in rows}


@pytest.mark.parametrize("fraction", [0.0, 0.3])
@pytest.mark.parametrize("num_calibration", [5, 500])
def test_no_word_that_int8_is_calibrated_on_judges_it(
    words: Path, fraction: float, num_calibration: int
) -> None:
    settings = [f"data.path={words}", f"data.validation_fraction={fraction}"]
    settings += [f"calibration_words={num_calibration}", "data.source=parquet", "model=any"]
    config = load_config(ExportConfig, None, settings)
    chosen = choose_words(config, Normalization.ALPHANUMERIC)
    calibration, development = _rows(chosen.calibration), _rows(chosen.development)
    assert calibration
    assert development
    assert not calibration & development
    if num_calibration == 5:
        assert len(calibration) == 5
    else:
        assert len(calibration | development) == 81


def test_one_word_cannot_be_divided(write_words: Callable[..., Path], tmp_path: Path) -> None:
    path = write_words(tmp_path / "one.parquet", ["one"])
    settings = [f"data.path={path}", "data.source=parquet", "model=any"]
    with pytest.raises(DatasetError, match="one word cannot be divided"):
        choose_words(load_config(ExportConfig, None, settings), Normalization.ALPHANUMERIC)


def _figures(accuracy: float, same: float = 1.0, change: float = 0.0) -> Figures:
    return Figures(
        development_words=1000,
        threads=1,
        before={"word_accuracy_exact": 0.9},
        after={"word_accuracy_exact": accuracy},
        same_readings=same,
        most_confidence_change=change,
        data={},
    )


def test_each_kind_has_its_own_limits() -> None:
    require_alike("int8", _figures(0.896, same=0.9, change=0.5), 0.5)
    require_alike("onnx", _figures(0.9, change=1e-4), 0.5)
    with pytest.raises(ExportError, match=r"0\.60 points lost, more than max_points_lost=0\.5"):
        require_alike("int8", _figures(0.894), 0.5)
    with pytest.raises(ExportError, match=r"99\.90% of 1000 alike, at least 100%"):
        require_alike("onnx", _figures(0.9, same=0.999), 0.5)
    with pytest.raises(ExportError, match=r"confidences differ by up to 0\.01"):
        require_alike("onnx", _figures(0.9, change=0.01), 0.5)
