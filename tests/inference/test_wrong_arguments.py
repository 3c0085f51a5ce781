"""What Python lets a caller give, seen without the tests' own check of types: it comes first."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ocr_model.config import load_config
from ocr_model.errors import ConfigError
from ocr_model.inference.evaluation import EvaluateConfig

_SCRIPT = """
import json, sys
import numpy as np
from ocr_model import Recognizer
from ocr_model.bundle import load_bundle
from ocr_model.decoding.lexicon import Lexicon
from ocr_model.inference.options import ReadOptions
from ocr_model.inference.page_reader import PageReader
from ocr_model.inference.runtimes import TorchRuntime

path = sys.argv[1]
bundle = load_bundle(path)
recognizer = Recognizer(bundle)
images = [np.zeros((8, 8, 3), np.uint8)]
"""

CASES = {
    "ReadOptions(orientations='sideways')": "orientations='sideways' is not one of upright, vert",
    "ReadOptions(characters=['0'])": "characters must be str or None, got ['0']",
    "ReadOptions(lexicon=['total'])": "lexicon must be Lexicon or None, got ['total']",
    "ReadOptions(num_beams='5')": "num_beams must be 1 or more, a whole number, got '5'",
    "ReadOptions(num_beams=2.5)": "num_beams must be 1 or more, a whole number, got 2.5",
    "ReadOptions(num_beams=2, length_penalty='1')": "length_penalty must be 0 or more",
    "ReadOptions(num_beams=2, length_penalty=None)": "length_penalty must be 0 or more",
    "ReadOptions(splits_long='no')": "splits_long must be bool, got 'no'",
    "ReadOptions(second_look_below='0.9')": "second_look_below must be between 0 and 1, got '0.9'",
    "ReadOptions(second_look_below=0.4)": "second_look_below=0.4 has no effect, as no word below",
    "ReadOptions(second_look_below=1.5)": "second_look_below must be between 0 and 1, got 1.5",
    "Lexicon('total')": "a lexicon takes a list of words, got 'total'",
    "Lexicon([])": "a lexicon needs words, got none",
    "Lexicon(np.array([]))": "a lexicon needs words, got none",
    "Lexicon(7)": "a lexicon takes a list of words, got 7",
    "Lexicon(['total', 7])": "a lexicon's word must be str, got 7",
    "Lexicon(['total'], any_case='yes')": "any_case must be bool, got 'yes'",
    "Lexicon.of_language('en', num_words='9')": "num_words must be 1 or more, a whole number, got",
    "PageReader.load(path)": "config must be PageReaderConfig, got '/",
    "Lexicon(['total'], bonus='2')": "a finite log probability of 0 or more, got '2'",
    "recognizer.read(images, 32)": "options must be ReadOptions, got 32",
    "recognizer.read(images, batch_size='8')": "batch_size must be 1 or more, a whole number, got",
    "recognizer.read_all(images, batch_size=None)": "batch_size must be 1 or more, a whole number",
    "Recognizer.load(path, kind='onix')": "kind='onix' is not one of torch, half, onnx, int8",
    "Recognizer.load(path, kind='onnx', device='nonsense')": "got device=nonsense and precision",
    "Recognizer.load(path, device=3.5)": "device '3.5' cannot be used here; there is cpu",
    "Recognizer.load(path, precision='half')": "precision='half' is not one of auto, fp32, bf16",
    "TorchRuntime(bundle, precision='fp8')": "precision='fp8' is not one of auto, fp32, bf16",
}
"""What is called, and what its ConfigError says."""


@pytest.fixture(scope="module")
def said(bundle_path: Path) -> dict[str, str]:
    """Make all calls in one process, and return the error of each."""
    lines = [_SCRIPT, "said = {}"]
    for call in CASES:
        lines += ["try:", f"    {call}", "except Exception as error:"]
        lines.append(f"    said[{call!r}] = f'{{type(error).__name__}}: {{error}}'")
    lines.append("print(json.dumps(said))")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), str(bundle_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(("call", "message"), CASES.items(), ids=CASES)
def test_what_is_of_no_use_is_named_in_a_config_error(
    said: dict[str, str], call: str, message: str
) -> None:
    assert said.get(call, "no error").startswith("ConfigError: ")
    assert message in said[call]


@pytest.mark.parametrize(
    ("setting", "known"),
    [
        ("orientations=sideways", "'upright', 'vertical' or 'plausible'"),
        ("kind=onix", "'torch', 'half', 'onnx' or 'int8'"),
        ("precision=fp8", "'auto', 'fp32', 'bf16' or 'fp16'"),
        ("batch_size=0", "greater than 0"),
    ],
)
def test_what_is_of_no_use_on_a_command_line_is_named_too(setting: str, known: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(known)):
        load_config(EvaluateConfig, None, ["model=compact", setting])
