"""A word, and effects on it one by one."""

from collections.abc import Callable

import numpy as np
import pytest

from ocr_model.data.augment import AugmentConfig, augment
from ocr_model.image import ImageGeometry, ModelInput, Pixels


@pytest.fixture
def word() -> Pixels:
    """Four dark strokes on light paper, of the size of `augmented`."""
    word = np.full((32, 128, 3), 200, np.uint8)
    for left in (20, 45, 70, 95):
        word[8:24, left : left + 8] = (60, 40, 50)
    return word


@pytest.fixture
def augmented() -> Callable[..., ModelInput]:
    """Return a function that gives an image only the effects that are named."""

    def make(
        pixels: Pixels, seed: int = 0, height: int = 32, width: int = 128, **amounts: float
    ) -> ModelInput:
        geometry = ImageGeometry(height=height, width=width)
        config = AugmentConfig(strength=0).scaled.replace(**amounts)
        return augment(pixels, geometry, config, np.random.default_rng(seed))[0]

    return make
