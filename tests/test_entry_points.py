import os
import sys
from pathlib import Path

import pytest

from ocr_model.config import Config
from ocr_model.entry_points import begin_job, ending_in_one_line, parse_command_line
from ocr_model.errors import DatasetError


class Paint(Config):
    colour: str = "red"
    layers: int = 1


class Drawing(Config):
    title: str = "none"
    paint: Paint = Paint()


def test_a_command_line_gives_settings(tmp_path: Path) -> None:
    path = tmp_path / "drawing.yaml"
    path.write_text("title: file")
    arguments = ["--config", str(path), "--set", "paint.layers=2", "--set", "paint.colour=blue"]
    drawing = parse_command_line(Drawing, "Draw.", arguments)
    assert drawing == Drawing(title="file", paint=Paint(layers=2, colour="blue"))


@pytest.mark.parametrize(
    ("arguments", "told", "num_lines"),
    [
        (["--set", "paint.layer=2"], "unknown setting; did you mean 'paint.layers'?", 1),
        (["--title", "own"], "unrecognized --title; settings are given as --set KEY=VALUE", 2),
    ],
)
def test_a_wrong_command_line_exits_with_status_2_and_says_what_is_wrong(
    arguments: list[str],
    told: str,
    num_lines: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # argparse breaks its lines there
    with pytest.raises(SystemExit) as caught:
        parse_command_line(Drawing, "Draw.", arguments)
    assert caught.value.code == 2
    shown = capsys.readouterr()
    assert shown.err.endswith(f"{told}\n")
    assert shown.err.count("\n") == num_lines
    assert not shown.out


def test_help_says_what_the_job_does_and_lists_the_settings(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_command_line(Drawing, "Draw a shape.", ["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "Draw a shape." in shown
    assert '\n  paint.colour = "red"\n' in shown


@pytest.mark.parametrize(("address", "expected"), [(None, "0"), ("10.0.0.1:6379", None)])
def test_only_a_local_ray_is_told_to_take_the_environment_that_is_there(
    address: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["draw.py", "--set", "title=sea"])
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "1")  # what the job sets is undone after it
    monkeypatch.delenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    assert begin_job(Drawing, "Draw.").title == "sea"
    assert os.environ.get("RAY_ENABLE_UV_RUN_RUNTIME_ENV") == expected


def test_a_job_without_a_command_line_takes_its_default_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["draw.py"])
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")  # nothing is set in the environment
    path = tmp_path / "drawing.yaml"
    path.write_text("title: own")
    assert begin_job(Drawing, "Draw.", default_config=path).title == "own"


def test_an_error_of_our_own_is_one_line_and_status_1() -> None:
    with pytest.raises(SystemExit, match=r"^DatasetError: no rows$"), ending_in_one_line():
        raise DatasetError("no rows")


@pytest.mark.parametrize(
    ("arguments", "told"), [({"interrupted": "It goes on."}, "It goes on."), ({}, "Interrupted.")]
)
def test_an_interrupted_job_says_so_and_ends_with_status_130(
    arguments: dict[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, ending_in_one_line(**arguments):
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert capsys.readouterr().err == f"{told}\n"
