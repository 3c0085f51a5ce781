from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from easyocr.craft_utils import adjustResultCoordinates, getDetBoxes
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.config import load_config
from ocr_model.detection.boxes import FoundWords, find_words, may_have_large_words
from ocr_model.detection.maps import BoxConfig, TextMaps
from ocr_model.errors import ConfigError

LOOSE = BoxConfig(text_threshold=0.5, low_text=0.3, link_threshold=0.6)


def easyocr_words(maps: TextMaps, config: BoxConfig) -> np.ndarray:
    thresholds = config.text_threshold, config.link_threshold, config.low_text
    boxes, _, _ = getDetBoxes(maps.region, maps.affinity, *thresholds)
    ratios = [pixels / 2 for pixels in maps.pixels_per_cell]
    return np.array(adjustResultCoordinates(boxes, *ratios)).reshape(-1, 4, 2)


def maps_of(region: np.ndarray, affinity: np.ndarray, scale: float = 2.0) -> TextMaps:
    height, width = region.shape
    size = int(height * scale), int(width * scale)
    return TextMaps(np.float32(region), np.float32(affinity), (scale, scale), size)


def noise(seed: int, *, sides: tuple[int, int] = (4, 160)) -> TextMaps:
    """Clouds of any size and density, which touch borders and enclose each other."""
    draws = np.random.default_rng(seed)
    shape = tuple(draws.integers(*sides, size=2))
    layers = []
    for _ in range(2):
        cloud = cv2.GaussianBlur(draws.random(shape), (0, 0), draws.uniform(0.4, 4))
        cloud = (cloud - cloud.mean()) / (cloud.std() + 1e-9)
        layers.append(cloud * draws.uniform(0.1, 0.4) + draws.uniform(0.1, 0.6))
    return maps_of(*layers, scale=draws.uniform(1.5, 5))


def page(seed: int, *, num_words: int = 25) -> TextMaps:
    """Words of round characters at any angle, some out of the page."""
    draws = np.random.default_rng(seed)
    region, affinity = np.zeros((2, 200, 260), np.float32)
    for _ in range(num_words):
        radius, angle = draws.uniform(1.5, 6), draws.choice([0, 0, 0.05, draws.uniform(-3, 3)])
        step = np.array([np.cos(angle), np.sin(angle)]) * radius * 1.8
        start = draws.uniform((0, 0), (260, 200))
        places = [start + number * step for number in range(draws.integers(1, 9))]
        for place in places:
            cv2.circle(region, place.astype(int).tolist(), int(radius), draws.uniform(0.6, 1.1), -1)
        for one, other in pairwise(places):
            middle = ((one + other) / 2).astype(int).tolist()
            cv2.circle(affinity, middle, max(1, int(radius / 2)), 0.9, -1)
    return maps_of(cv2.GaussianBlur(region, (0, 0), 1.2), cv2.GaussianBlur(affinity, (0, 0), 0.8))


def require_easyocrs_words(maps: TextMaps, config: BoxConfig) -> FoundWords:
    expected, found = easyocr_words(maps, config), find_words(maps, config)
    assert found.quads.shape == expected.shape
    np.testing.assert_allclose(found.quads, expected, atol=1e-3)
    return found


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), config=st.sampled_from([BoxConfig(), LOOSE]))
def test_words_in_noise_are_easyocrs(seed: int, config: BoxConfig) -> None:
    require_easyocrs_words(noise(seed), config)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), config=st.sampled_from([BoxConfig(), LOOSE]))
def test_words_of_pages_are_easyocrs(seed: int, config: BoxConfig) -> None:
    assert len(require_easyocrs_words(page(seed), config).quads) > 3


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(
        st.lists(st.sampled_from([0, 0.4, 0.5, 0.7, 1]), min_size=7, max_size=7),
        min_size=3,
        max_size=12,
    ),
    links=st.booleans(),
)
def test_words_of_a_few_cells_at_the_thresholds_are_easyocrs(
    cells: list[list[float]], links: bool
) -> None:
    region = np.array(cells)
    require_easyocrs_words(maps_of(region, region[::-1, ::-1] * links), BoxConfig())


def test_confidence_is_the_threshold_from_which_on_a_word_is_lost() -> None:
    maps = page(3)
    found = find_words(maps)
    assert 0.7 <= found.confidences.min() < found.confidences.max() <= 1
    middle = float(np.median(found.confidences))
    surer = find_words(maps, BoxConfig(text_threshold=middle))
    np.testing.assert_array_equal(surer.quads, found.quads[found.confidences >= middle])


def test_corners_go_clockwise_from_the_top_left() -> None:
    corners = np.concatenate([find_words(page(seed)).quads for seed in range(5)])
    sides = np.roll(corners, -1, axis=1) - corners
    turns = sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]
    assert (turns > 0).all()
    assert (corners.sum(axis=2).argmin(axis=1) == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (3, 400)])
def test_maps_without_words_have_none(shape: tuple[int, int]) -> None:
    for value in (0, np.nan):
        found = find_words(maps_of(np.full(shape, value), np.ones(shape)))
        assert found.quads.shape == (0, 4, 2)
        assert found.confidences.shape == (0,)


def test_a_map_that_is_one_word_is_found_whole() -> None:
    maps = TextMaps(
        np.ones((8, 32), np.float32), np.zeros((8, 32), np.float32), (3.0, 2.0), (16, 96)
    )
    [quad] = find_words(maps).quads.tolist()
    np.testing.assert_allclose(quad, [[0, 0], [93, 0], [93, 14], [0, 14]], atol=1e-6)


def test_what_only_links_is_no_word_and_no_error() -> None:
    region, affinity = np.full((20, 20), 0.5), np.ones((20, 20))
    config = BoxConfig(text_threshold=0.5, low_text=0.5)  # where EasyOCR has no points, and fails
    assert len(find_words(maps_of(region, affinity), config).quads) == 0


def test_threads_find_what_one_finds() -> None:
    maps = [page(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(find_words, maps))
    for one, other in zip(map(find_words, maps), together, strict=True):
        np.testing.assert_array_equal(one.quads, other.quads)


def test_a_threshold_without_effect_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"text_threshold=0\.3 is below low_text=0\.4"):
        load_config(BoxConfig, None, ["text_threshold=0.3"])


def _two_looks(parts: list[tuple[slice, slice]]) -> TextMaps:
    """Words of a page of 200 by 200 cells, within one that is seen at half the size."""
    region, smaller = np.zeros((200, 200)), np.zeros((100, 100))
    for part in parts:
        region[part] = 0.9
    smaller[20:60, 10:90] = 0.9
    return replace(maps_of(region, np.zeros_like(region)), smaller=maps_of(smaller, smaller, 4.0))


def test_parts_of_a_large_word_give_way_to_the_word_that_is_seen_smaller() -> None:
    parts = [(slice(40, 118), slice(20, 60)), (slice(45, 120), slice(80, 180))]
    outside = (slice(150, 160), slice(20, 120))
    found = find_words(_two_looks([*parts, outside]))
    assert [len(found.quads), len(found.confidences)] == [2, 2]
    large, small = found.quads
    assert (large.min(axis=0) < [40, 80]).all()
    assert (np.ptp(large, axis=0) > [300, 150]).all()
    assert small[:, 1].min() > 280


def test_lines_of_small_words_stay_where_they_look_like_one_word() -> None:
    lines = [(slice(top, top + 12), slice(25, 175)) for top in range(42, 110, 20)]
    assert len(find_words(_two_looks(lines)).quads) == 4


def test_what_is_only_seen_smaller_is_found() -> None:
    maps = _two_looks([])
    assert may_have_large_words(maps)
    assert len(find_words(maps).quads) == 1


def test_small_words_are_not_looked_at_again() -> None:
    maps = _two_looks([(slice(40, 55), slice(20, 180))])
    assert not may_have_large_words(maps)
