import hashlib
import io
import logging
import runpy
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ocr_model.detection.craft_weights import find_craft

JOB = str(Path(__file__).parents[2] / "jobs" / "fetch_models.py")
FILE = "craft_mlt_25k.pth"
CONTENT = bytes(range(256)) * 40
MD5 = f"md5={hashlib.md5(CONTENT).hexdigest()}"


def _archive(folder: Path, name: str = FILE, content: bytes = CONTENT) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    folder.mkdir(exist_ok=True)
    path = folder / "craft.zip"
    path.write_bytes(buffer.getvalue())
    return path


@pytest.fixture
def fetch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return a function of settings that gives what the job prints."""

    def run(*settings: str) -> str:
        monkeypatch.setattr(sys, "argv", [JOB, "--set", *settings])
        runpy.run_path(JOB, run_name="__main__")
        return capsys.readouterr().out

    return run


def test_weights_are_fetched_once(fetch: Callable[..., str], tmp_path: Path) -> None:
    archive, folder = _archive(tmp_path / "host"), tmp_path / "models" / "ocr"
    settings = f"folder={folder}", f"url={archive.as_uri()}", MD5
    printed = fetch(*settings)
    assert f"reader.detector.weights='{folder}'" in printed
    assert find_craft(str(folder)).read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == [FILE]
    archive.unlink()
    assert fetch(*settings) == printed


def test_an_altered_file_is_replaced(fetch: Callable[..., str], tmp_path: Path) -> None:
    archive = _archive(tmp_path / "host")
    (tmp_path / FILE).write_bytes(CONTENT[:-1])
    fetch(f"folder={tmp_path}", f"url={archive.as_uri()}", MD5)
    assert (tmp_path / FILE).read_bytes() == CONTENT


def _refused(fetch: Callable[..., str], *settings: str) -> str:
    with pytest.raises(SystemExit) as caught:
        fetch(*settings)
    return str(caught.value.code)


def test_without_a_network_the_job_says_what_to_do_and_keeps_what_is_there(
    fetch: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / FILE).write_bytes(b"former")
    for url in ("http://127.0.0.1:9/craft.zip", (tmp_path / "no.zip").as_uri(), "craft.zip"):
        said = _refused(fetch, f"folder={tmp_path}", f"url={url}")
        assert said.startswith("BundleError: CRAFT's weights are not at")
        assert f"cannot be had from {url}" in said
        assert "reader.detector.name=compact" in said
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).read_bytes() == b"former"


def test_other_weights_are_refused(fetch: Callable[..., str], tmp_path: Path) -> None:
    archive = _archive(tmp_path / "host", content=b"other")
    said = _refused(fetch, f"folder={tmp_path}", f"url={archive.as_uri()}")
    assert f"MD5 {hashlib.md5(b'other').hexdigest()}, expected 2f8227d2def4037c" in said
    assert not (tmp_path / FILE).exists()


def test_damaged_archives_are_one_clear_line(fetch: Callable[..., str], tmp_path: Path) -> None:
    archive = _archive(tmp_path / "host", name="other.pth")
    settings = f"folder={tmp_path}", f"url={archive.as_uri()}", MD5
    assert "KeyError" in _refused(fetch, *settings)
    whole, draws = _archive(tmp_path / "host").read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(whole[: draws.integers(len(whole) // 2, len(whole))])
        damaged[draws.integers(len(damaged))] ^= 255
        archive.write_bytes(damaged)
        assert _refused(fetch, *settings).startswith("BundleError: ")
    assert not (tmp_path / FILE).exists()


def test_a_detector_without_weights_fetches_them_to_easyocrs_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    host = _archive(tmp_path / "host").as_uri()
    monkeypatch.setattr("easyocr.config.MODULE_PATH", str(tmp_path))
    monkeypatch.setattr(
        "easyocr.config.detection_models",
        {"craft": {"filename": FILE, "url": host, "md5sum": MD5.removeprefix("md5=")}},
    )
    with caplog.at_level(logging.WARNING):
        path = find_craft(None)
    assert path == tmp_path / "model" / FILE
    assert path.read_bytes() == CONTENT
    assert f"fetching CRAFT's weights to {path}" in caplog.text


def test_what_is_no_md5_is_refused(
    fetch: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _refused(fetch, "md5=abc") == "2"
    assert "md5: String should match pattern" in capsys.readouterr().err
