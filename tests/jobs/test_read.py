import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

JOB = str(Path(__file__).parents[2] / "jobs" / "read.py")
Run = Callable[..., tuple[str, str, object]]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function of settings that gives what the job prints, and its status."""

    def run(*settings: str) -> tuple[str, str, object]:
        monkeypatch.setattr(sys, "argv", [JOB, "--set", *settings])
        status: object = 0
        try:
            runpy.run_path(JOB, run_name="__main__")
        except SystemExit as error:
            status = error.code
        printed = capsys.readouterr()
        return printed.out, printed.err, status

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    scans = tmp_path / "scans"
    (scans / "more").mkdir(parents=True)
    pixels = np.full((120, 420, 3), 255, np.uint8)
    cv2.putText(pixels, "HOTEL Paris", (20, 75), cv2.FONT_HERSHEY_DUPLEX, 1.8, (0, 0, 0), 3)
    cv2.imwrite(str(scans / "sign.png"), pixels)
    cv2.imwrite(str(scans / "more" / "sign.jpg"), pixels)
    (scans / "broken.png").write_bytes(b"no picture")
    return scans


def test_the_text_of_a_picture_is_printed_alone(read: Run, folder: Path) -> None:
    out, err, status = read(f"input={folder / 'sign.png'}")
    assert out.split() == ["HOTEL", "Paris"]
    assert "1 page, 2 words" in err
    assert status == 0


def test_a_folder_is_read_and_written_in_every_format(
    read: Run, folder: Path, tmp_path: Path
) -> None:
    formats = ["json", "text", "hocr", "alto", "pdf", "overlay"]
    out, err, status = read(f"input={folder}", f"output={tmp_path / 'out'}", f"outputs={formats}")
    assert status == 0
    assert out.count("HOTEL Paris") == 2
    assert "broken.png, page 1: not_an_image" in err
    assert "1 could not be read" in err
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    for name in ("sign.png", "more/sign.jpg"):
        endings = ["json", "txt", "hocr", "alto.xml", "pdf", "png"]
        assert {f"{name}.{ending}" for ending in endings} <= written
    pages = json.loads((tmp_path / "out" / "sign.png.json").read_text())["pages"]
    assert pages[0]["text"] == "HOTEL Paris"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["input=/no/such/file"], "there is no such file"),
        (["input=s3://bucket/scan.png"], "jobs/batch_ocr.py reads buckets"),
        (["input=.", "outputs=[text]", f"output={__file__}"], "is a file, expected a folder"),
        (["input=.", "outputs=[json]"], "belong together"),
        (["input=.", "outputs=[word]", "output=x"], "is none of"),
        (["input=.", "reader.detector.name=yolo"], "is none of"),
        (["input=.", "reader.recognizer=nowhere"], "cannot read nowhere"),
    ],
)
def test_wrong_settings_are_one_clear_message(read: Run, settings: list[str], message: str) -> None:
    _, err, status = read(*settings)
    assert status not in (0, None)
    assert message in f"{err}{status}"


def test_where_nothing_can_be_read_the_status_says_so(read: Run, folder: Path) -> None:
    out, _, status = read(f"input={folder / 'broken.png'}")
    assert (out, status) == ("", 1)
