import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ocr_model.config import load_config
from ocr_model.errors import ImageError, OCRError
from ocr_model.inference.bulk.config import BatchConfig
from ocr_model.inference.bulk.isolation import read_apart
from ocr_model.inference.bulk.items import Item
from ocr_model.inference.bulk.ledger import Ledger
from ocr_model.inference.bulk.places import open_place
from ocr_model.inference.bulk.plan import Unit
from ocr_model.inference.bulk.rows import Row
from ocr_model.inference.bulk.working import Worker

CONTENTS = [b"one", b"kill", b"two", b"hang", ImageError("missing", "x"), b"raise", b"three"]
ITEMS = tuple(Item(f"/in/{number}") for number in range(len(CONTENTS)))
ERRORS = [
    "",
    "crashed: the process that read it ended by SIGKILL 2 times",
    "",
    "timed_out: not read in 1 s",
    "missing: x",
    "failed: RuntimeError: what no image should do",
    "",
]


def _check(rows: list[Row]) -> None:
    assert [row["error"] for row in rows] == ERRORS
    assert [row["text"] for row in rows if not row["error"]] == ["one", "two", "three"]


def test_images_that_end_or_hang_their_process_are_rows_and_the_others_are_read(
    touchy: Callable[[], object],
) -> None:
    readings = read_apart(ITEMS, CONTENTS, pickle.dumps(touchy), seconds=1.0, tries=2)
    _check([row for reading in readings for row in reading.rows])


def test_a_unit_that_was_begun_before_is_read_image_by_image(
    touchy: Callable[[], object], tmp_path: Path
) -> None:
    settings = ["input=/in", f"output={tmp_path}", "mode=words", "tries=2", "image_seconds=1"]
    config = load_config(BatchConfig, None, settings)
    ledger = Ledger(open_place(str(tmp_path)))
    unit = Unit(0, 3, ITEMS)
    ledger.begin(unit.name)
    counts = Worker(config, touchy, pickle.dumps(touchy)).do(unit, CONTENTS)  # type: ignore[arg-type]  # they read items
    _check(ledger.read(unit.name).to_pylist())
    assert (counts.images, counts.words) == (7, 3)
    assert counts.errors == {"crashed": 1, "timed_out": 1, "missing": 1, "failed": 1}
    assert not list((tmp_path / "attempts").rglob("00*/00*"))


def test_a_unit_whose_images_raise_is_read_again_image_by_image(
    touchy: Callable[[], object], tmp_path: Path
) -> None:
    config = load_config(BatchConfig, None, ["input=/in", f"output={tmp_path}", "mode=words"])
    worker = Worker(config, touchy, pickle.dumps(touchy))  # type: ignore[arg-type]  # they read items
    counts = worker.do(Unit(0, 0, ITEMS[:2]), [b"one", b"raise"])
    assert counts.errors == {"failed": 1}
    assert counts.words == 1


def test_models_that_cannot_be_loaded_are_no_fault_of_the_images() -> None:
    load = pickle.dumps(partial(int, "none"))
    with pytest.raises(OCRError, match="cannot load models: ValueError: invalid literal"):
        list(read_apart(ITEMS[:1], CONTENTS[:1], load, seconds=5.0, tries=2))
