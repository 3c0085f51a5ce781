"""Readers that do to their process what bad images may do."""

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

_READERS = '''
import os
import signal
import time

from ocr_model.errors import ImageError
from ocr_model.inference.bulk.rows import Reading, error_row, filled_row


class Touchy:
    """Reads the bytes as they are, and does what they say."""

    def read(self, items, contents):
        for item, content in zip(items, contents):
            if isinstance(content, ImageError):
                yield Reading([error_row(item, str(content), "touchy")])
                continue
            if content == b"kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if content == b"hang":
                time.sleep(1e6)
            if content == b"raise":
                raise RuntimeError("what no image should do")
            text = content.decode("ascii", "replace")
            yield Reading([filled_row(item, "touchy", error="", text=text, confidence=1.0)])
'''


@pytest.fixture
def touchy(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], object]:
    """Return a class that child processes can import: of readers that die of `kill` and so on."""
    folder: Path = tmp_path_factory.mktemp("readers")
    (folder / "touchy_readers.py").write_text(_READERS, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    return importlib.reload(importlib.import_module("touchy_readers")).Touchy
