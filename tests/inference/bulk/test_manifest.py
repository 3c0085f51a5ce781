"""What is wrong with a run's output is said before anything is read."""

import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
mount -t tmpfs -o size={size} none {mounted}
mount -o remount,{mode} {mounted}
{python} jobs/batch_ocr.py --set input={words} output={mounted}/out mode=words
"""


@pytest.mark.parametrize(
    ("size", "mode", "message"),
    [
        ("64k", "rw", "has 65536 bytes free, 50000000 are needed to begin"),
        ("200m", "ro", "(Read-only file system). Free space or mend permissions"),
    ],
)
def test_an_output_without_room_or_permission_is_one_clear_line(
    tmp_path: Path, size: str, mode: str, message: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "word.png").write_bytes(b"is not even looked at")
    (tmp_path / "mounted").mkdir()
    script = _SCRIPT.format(
        size=size,
        mode=mode,
        mounted=tmp_path / "mounted",
        words=tmp_path / "in",
        python=sys.executable,
    )
    finished = subprocess.run(  # a file system of its own, which only this process sees
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 1, finished.stderr
    (line,) = finished.stderr.strip().splitlines()
    assert line.startswith("StorageError: ")
    assert message in line
