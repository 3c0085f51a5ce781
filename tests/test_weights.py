import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ocr_model import PageReader, Recognizer
from ocr_model.data.synthetic.pages import KindShares, PageConfig, render_page
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.errors import BundleError
from ocr_model.inference.reader_config import CompactReaderConfig, PageReaderConfig
from ocr_model.weights import DETECTOR, RECOGNIZER, embedded_names, find_model

RECOGNIZERS = [name for name in embedded_names() if name != DETECTOR]
MEGABYTE = 10**6


def _bytes_of(name: str) -> int:
    return sum(path.stat().st_size for path in find_model(name).iterdir())


def test_the_models_in_the_box_are_small_and_have_a_card() -> None:
    assert {RECOGNIZER, "compact-synthetic", DETECTOR} == set(embedded_names())
    assert all(_bytes_of(name) < 10 * MEGABYTE for name in RECOGNIZERS)
    assert _bytes_of(DETECTOR) < 4 * MEGABYTE
    assert all((find_model(name) / "README.md").stat().st_size for name in embedded_names())


@pytest.mark.parametrize("name", RECOGNIZERS)
def test_printable_ascii_is_read(name: str) -> None:
    info = Recognizer.load(name).info
    assert info.charset == "".join(map(chr, range(32, 127)))
    assert (info.geometry.fit, info.geometry.height) == ("pad", 32)


@pytest.mark.parametrize("name", RECOGNIZERS)
def test_rendered_words_that_it_has_never_seen_are_read(name: str) -> None:
    source = SyntheticSource(seed=2_000_000, num_validation_words=200)
    (fragment,) = source.fragments("validation")
    samples = source.read(fragment, np.arange(200), epoch=0)
    readings = Recognizer.load(name).read([s.image for s in samples if s.image is not None])
    right = [r.text == s.label for r, s in zip(readings, samples, strict=True)]
    assert np.mean(right) > 0.6


@pytest.mark.parametrize("name", RECOGNIZERS)
def test_bf16_reads_as_full_precision_does(name: str) -> None:
    source = SyntheticSource(seed=2_000_001, num_validation_words=200)
    (fragment,) = source.fragments("validation")
    images = [s.image for s in source.read(fragment, np.arange(200), epoch=0)]
    full, half = (
        Recognizer.load(name, device="cpu", precision=precision).read(images)
        for precision in ("fp32", "bf16")
    )
    assert np.mean([p.text == q.text for p, q in zip(full, half, strict=True)]) > 0.97


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_a_rendered_page_is_read_out_of_the_box_however_it_lies(quarter_turns: int) -> None:
    shares = KindShares(paragraph=1, form=0, receipt=0, table=0, scene=0)
    page = render_page(PageConfig(kinds=shares), 2_000_000, 1, is_validation=True)
    wanted = Counter(word.text for word in page.words)
    read = PageReader.load().read(np.ascontiguousarray(np.rot90(page.pixels, quarter_turns)))
    assert read.rotation == 90 * quarter_turns
    assert (wanted & Counter(read.text.split())).total() > 0.6 * wanted.total()


@pytest.mark.parametrize("name", embedded_names())
def test_a_flipped_byte_is_an_error(tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(find_model(name), tmp_path / "copy"))
    weights = bytearray((folder / "weights.safetensors").read_bytes())
    weights[len(weights) // 2] ^= 1
    (folder / "weights.safetensors").write_bytes(weights)
    with pytest.raises(BundleError, match="was altered"):
        _load(name, folder)


def _load(name: str, folder: Path) -> None:
    if name == DETECTOR:
        settings = CompactReaderConfig(weights=str(folder))
        PageReader.load(PageReaderConfig(detector=settings))
    else:
        Recognizer.load(folder)


def test_a_detector_is_no_recogniser() -> None:
    with pytest.raises(BundleError, match="is a detector"):
        Recognizer.load(DETECTOR)


def test_a_folder_of_ones_own_is_found_by_its_path(tmp_path: Path) -> None:
    assert find_model(tmp_path) == tmp_path
    assert find_model("./compact") == Path("./compact")
    with pytest.raises(BundleError, match="no-such-model"):
        Recognizer.load("no-such-model")
