import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from ocr_model.errors import CheckpointError
from ocr_model.training.run_folder import RunFolder

ROOT = Path(__file__).parents[2]

FILL_THE_DISK = """
import resource, sys
from ocr_model.errors import CheckpointError
from ocr_model.training.run_folder import RunFolder

folder = RunFolder(sys.argv[1], "run")
folder.write("last.pt", b"former")
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    folder.write("last.pt", bytes(100_000))
except CheckpointError as error:
    print(error)
"""


def _files(folder: RunFolder) -> list[str]:
    root = folder.local_path
    assert root is not None
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path), "run")
    folder.write("best/model.json", b"{}")
    folder.write("best/model.json", b"[]")
    assert folder.read("best/model.json") == b"[]"
    assert _files(folder) == ["best/model.json"]
    assert folder.address == str(tmp_path / "run")


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path), "run")
    assert folder.read("last.pt") is None
    assert folder.load_state("last.pt") is None


def test_the_same_name_again_opens_the_same_folder(tmp_path: Path) -> None:
    RunFolder(str(tmp_path), "run").write("a", b"1")
    assert RunFolder(str(tmp_path), "run").read("a") == b"1"
    assert RunFolder(str(tmp_path), "other").read("a") is None


def test_a_uri_names_the_folder_that_its_path_names(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path.as_uri(), "run")
    folder.write("a", b"1")
    assert folder.address == f"{tmp_path.as_uri()}/run"
    assert folder.local_path == tmp_path / "run"
    assert RunFolder(str(tmp_path), "run").read("a") == b"1"


def test_a_failed_write_leaves_the_former_file_and_nothing_else(tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "could not write 100000 bytes to" in finished.stdout
    assert "the former one is intact" in finished.stdout
    folder = RunFolder(str(tmp_path), "run")
    assert folder.read("last.pt") == b"former"
    assert _files(folder) == ["last.pt"]


def test_a_file_in_the_place_of_a_folder_is_a_checkpoint_error(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path), "run")
    folder.write("best", b"in the way")
    with pytest.raises(CheckpointError, match=r"could not write 2 bytes to .*best/model\.json"):
        folder.write("best/model.json", b"{}")
    assert _files(folder) == ["best"]


def test_a_storage_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"cannot write to run\.storage .*file/runs"):
        RunFolder(str(tmp_path / "file" / "runs"), "run")


def test_a_storage_of_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(CheckpointError, match=r"cannot write to run\.storage gopher://x"):
        RunFolder("gopher://x", "run")


def test_a_state_comes_back_with_its_tensors_and_plain_values(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path), "run")
    weights = torch.arange(6.0, dtype=torch.bfloat16).reshape(2, 3)
    folder.save_state("last.pt", {"weights": weights, "progress": {"epoch": 3, "why": ""}})
    state = folder.load_state("last.pt")
    assert state is not None
    assert torch.equal(state["weights"], weights)
    assert state["progress"] == {"epoch": 3, "why": ""}


def test_a_state_with_more_than_tensors_and_plain_values_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path), "run")
    folder.save_state("last.pt", {"rate": Fraction(1, 3)})
    with pytest.raises(CheckpointError, match=r"run/last\.pt cannot be read: (?s:.*)Fraction"):
        folder.load_state("last.pt")


@pytest.mark.parametrize("damage", ["cut short", "altered", "empty"])
def test_a_damaged_state_is_an_error_that_names_the_file(tmp_path: Path, damage: str) -> None:
    folder = RunFolder(str(tmp_path), "run")
    folder.save_state("last.pt", {"weights": torch.zeros(1000)})
    whole = folder.read("last.pt")
    assert whole is not None
    damaged = {"cut short": whole[:-100], "altered": b"x" * 200 + whole[200:], "empty": b""}
    folder.write("last.pt", damaged[damage])
    with pytest.raises(CheckpointError, match=r"run/last\.pt cannot be read"):
        folder.load_state("last.pt")
