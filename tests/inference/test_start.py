"""What a process that reads waits for before it does."""

import subprocess
import sys

SLOW = ["datasets", "matplotlib", "pandas", "ray", "torch._dynamo", "torchvision"]
READ = f"""
import sys
import numpy as np
from ocr_model import PageReader
assert not PageReader.load().read(np.full((64, 96, 3), 255, np.uint8)).error
print([name for name in {SLOW} if name in sys.modules])
"""


def test_reading_imports_nothing_slow_but_torch() -> None:
    found = subprocess.run(
        [sys.executable, "-c", READ], capture_output=True, text=True, timeout=300, check=True
    )
    assert found.stdout.strip() == "[]"
