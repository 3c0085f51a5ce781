import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[2]


def _command(*settings: str) -> list[str]:
    return [sys.executable, "jobs/batch_ocr.py", "--set", "pool.max_readers=1", *settings]


def _run(*settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "120", "RAY_AUTH_MODE": "disabled"}
    return subprocess.run(
        _command(*settings),
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, word in enumerate(("HOTEL", "Paris", "market", "Exit 12")):
        pixels = np.full((120, 420, 3), 255, np.uint8)
        cv2.putText(pixels, word, (20, 75), cv2.FONT_HERSHEY_DUPLEX, 1.8, (0, 0, 0), 3)
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_pages_are_read_and_written_in_every_form_and_a_killed_driver_goes_on(
    scans: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    settings = (f"input={scans}", f"output={output}", "unit_images=1")
    settings += ("outputs=[hocr,pdf]", "jsonl=true", "price_per_machine_hour=0.4")
    process = psutil.Popen(_command(*settings), cwd=ROOT, stderr=subprocess.DEVNULL)
    while not list(output.glob("rows/*/*.parquet")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = len(list(output.glob("rows/*/*.parquet")))
    assert 1 <= before < 5

    again = _run(*settings)
    assert again.returncode == 0, again.stderr
    planned = re.search(r"planned 5 images, (\d) of them read before", again.stderr)
    assert planned, again.stderr
    assert before <= int(planned[1]) <= 5  # workers may have written on after the driver's end
    assert "output: " in again.stderr
    rows = {Path(row["uri"]).name: row for row in pq.read_table(output / "rows").to_pylist()}
    assert len(rows) == 5
    assert [rows[f"{n}.png"]["text"] for n in range(3)] == ["HOTEL", "Paris", "market"]
    assert rows["broken.png"]["error"].startswith("not_an_image")
    (word,) = rows["0.png"]["words"]
    assert len(word["polygon"]) == 8
    assert {path.name for path in (output / "files").iterdir()} >= {"0.png.hocr", "3.png.pdf"}
    assert len([line for p in output.glob("jsonl/*/*") for line in p.read_text().split("\n")]) == 10
    page = (output / "report.html").read_text(encoding="utf-8")
    assert "cost of a million images" in page
    assert "not_an_image" in page
    assert json.loads((output / "run.json").read_text())["counts"]["images"] == 5


def test_what_is_wrong_is_one_clear_line(tmp_path: Path) -> None:
    finished = _run(f"input={tmp_path / 'none'}", f"output={tmp_path / 'out'}")
    assert finished.returncode == 1
    assert finished.stderr.strip().splitlines()[-1].startswith("StorageError: cannot list")
    assert "Traceback" not in finished.stderr
