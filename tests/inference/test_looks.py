"""Words that are read unsurely are looked at again."""

import numpy as np
import pytest

from ocr_model.data.synthetic.renderer import WordRenderer
from ocr_model.data.synthetic.stages import RendererConfig
from ocr_model.decoding.readings import Prediction, sureness
from ocr_model.image import ImageGeometry
from ocr_model.inference.looks import other_looks
from ocr_model.inference.options import UPRIGHT, ReadOptions
from ocr_model.inference.preparing import View
from ocr_model.inference.recognizer import Recognizer
from ocr_model.metrics import is_right

GEOMETRY = ImageGeometry(height=32, width=256, fit="pad")
ONCE = ReadOptions(orientations="upright", second_look_below=0.0)
WORDS = ("harvest", "Market", "PRICES", "follow", "1,299.50", "northern", "Rain", "hills") * 12


def _views(width: int, *rotations: int) -> list[View]:
    part = np.full((32, width, 3), 200, np.uint8)
    return [View(rotation, [part], [(0, width)]) for rotation in rotations]


def _read(confidence: float, rotation: int = 0) -> Prediction:
    return Prediction("ab", confidence**3, (confidence,) * 2, rotation)


def test_the_other_looks_are_wider_and_with_a_margin() -> None:
    with_margin, wider = other_looks(_views(100, 0), _read(0.8), GEOMETRY, 0.9)
    assert with_margin.parts[0].shape == (32, round(106 * 32 / 38), 3)
    assert wider.parts[0].shape == (32, 140, 3)


def test_a_part_is_made_no_wider_than_the_model_takes() -> None:
    _, wider = other_looks(_views(200, 0), _read(0.8), GEOMETRY, 0.9)
    assert wider.parts[0].shape == (32, 256, 3)
    assert len(other_looks(_views(256, 0), _read(0.8), GEOMETRY, 0.9)) == 1


def test_a_turned_word_is_looked_at_as_it_was_read() -> None:
    looks = other_looks(_views(100, 0, 90, 270), _read(0.8, 270), GEOMETRY, 0.9)
    assert [look.rotation for look in looks] == [270, 270]


@pytest.mark.parametrize(("confidence", "sure_from"), [(0.95, 0.9), (0.3, 0.9), (0.8, 0.0)])
def test_what_is_sure_or_hopeless_is_not_looked_at_again(
    confidence: float, sure_from: float
) -> None:
    assert other_looks(_views(100, 0), _read(confidence), GEOMETRY, sure_from) == []


def test_a_picture_that_could_not_be_read_is_not_looked_at_again() -> None:
    assert other_looks([], Prediction("", 0.0, (), error="bad_image"), GEOMETRY, 0.9) == []


def test_looking_again_makes_readings_surer_and_more_of_them_right() -> None:
    renderer = WordRenderer(RendererConfig())
    images = [
        renderer.render(word, np.random.default_rng(seed)).pixels for seed, word in enumerate(WORDS)
    ]
    recognizer = Recognizer.load(precision="fp32")
    once, again = recognizer.read(images, ONCE), recognizer.read(images, UPRIGHT)
    sure = [sureness(reading) for reading in once]
    gained = [sureness(reading) - former for reading, former in zip(again, sure, strict=True)]
    assert min(gained) > -1e-4
    assert all(abs(gain) < 1e-4 for gain, former in zip(gained, sure, strict=True) if former > 0.95)
    assert sum(gain > 0.01 for gain in gained) >= 5
    num_right = [sum(map(_right, WORDS, readings)) for readings in (once, again)]
    assert num_right[1] > num_right[0]


def _right(word: str, reading: Prediction) -> bool:
    return is_right(word, reading.text)
