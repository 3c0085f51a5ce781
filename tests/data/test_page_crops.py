import numpy as np
import pytest
from pydantic import ValidationError

from ocr_model.data.heatmaps import SpacedWord
from ocr_model.data.page_crops import CropConfig, CropScale, LabelledPage, LightConfig, cut_crop

PLAIN = LightConfig(inverted=0, grey=0, contrast=0, brightness=0, blur=0, noise=0, jpeg=0)
SIZE = CropScale(least=1, most=1)


def _page(height: int = 300, width: int = 260, unknown: bool = False) -> LabelledPage:
    """A white page with black bars for words."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    quads = []
    for top in range(12, height - 30, 30):
        for left in range(10, width - 60, 70):
            pixels[top : top + 16, left : left + 50] = 0
            corners = [[left, top], [left + 50, top], [left + 50, top + 16], [left, top + 16]]
            quads.append(np.array(corners, np.float32))
    if unknown:
        return LabelledPage(pixels, (), tuple(quads))
    edges = np.linspace(0, 1, 6, dtype=np.float32)
    return LabelledPage(pixels, tuple(SpacedWord(quad, edges) for quad in quads))


@pytest.mark.parametrize("turn", [0.0, 20.0])
@pytest.mark.parametrize("quarter_turns", [0.0, 1.0])
@pytest.mark.parametrize("scale", [0.7, 1.0, 1.7])
@pytest.mark.parametrize("size", [(300, 260), (90, 260), (40, 70)])
def test_heat_lies_on_the_ink_however_a_crop_is_cut(
    turn: float, quarter_turns: float, scale: float, size: tuple[int, int]
) -> None:
    config = CropConfig(
        side=128, turn=turn, quarter_turns=quarter_turns, light=PLAIN,
        scale=CropScale(least=scale, most=scale),
    )  # fmt: skip
    for seed in range(4):
        crop = cut_crop(_page(*size), config, np.random.default_rng(seed))
        assert crop.pixels.shape == (128, 128, 3)
        ink = 255 - crop.pixels.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3, 4))
        hot = crop.heat.region > 0.6
        if hot.any():
            assert ink[hot].min() > 150
        assert crop.heat.region[ink == 0].max(initial=0) < 0.4


def test_the_same_state_gives_the_same_crop_and_another_gives_another() -> None:
    page, config = _page(), CropConfig(side=128)
    one, same, other = (cut_crop(page, config, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.pixels, same.pixels)
    np.testing.assert_array_equal(one.heat.region, same.heat.region)
    assert (one.pixels != other.pixels).any()


def test_what_nobody_read_is_not_learnt_from() -> None:
    config = CropConfig(side=128, scale=SIZE, turn=0, quarter_turns=0, light=PLAIN)
    crop = cut_crop(_page(unknown=True), config, np.random.default_rng(0))
    assert not crop.heat.region.any()
    ink = crop.pixels.reshape(64, 2, 64, 2, 3).max(axis=(1, 3, 4)) == 0
    assert ink.any()
    assert not crop.heat.is_known[ink].any()


def test_text_too_small_to_read_is_not_learnt_from() -> None:
    config = CropConfig(side=128, scale=SIZE, smallest_text=17, quarter_turns=0, light=PLAIN)
    crop = cut_crop(_page(), config, np.random.default_rng(0))
    assert not crop.heat.region.any()
    assert not crop.heat.is_known.all()


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"side": 100}, "multiple of 32"),
        ({"scale": {"least": 2, "most": 1}}, "above most"),
        ({"light": {"contrast": 1.0}}, "less than 1"),
    ],
)
def test_a_wrong_crop_is_refused(settings: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        CropConfig.model_validate(settings)
