import math
from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_model.detection.rectify import RectifyConfig, rectify
from ocr_model.image import PADDING_VALUE, ImageGeometry, fit_image, resize_image

STRETCH = ImageGeometry(height=32, width=128)
PAD = ImageGeometry(height=32, width=128, fit="pad")
TIGHT = RectifyConfig(margin=0)
NOWHERE = [math.nan, math.inf, -math.inf, 1e30, -1e30, 3e38]


@cache
def _page(height: int = 200, width: int = 300) -> np.ndarray:
    """Return a page of blurred noise in colour, with strokes as fine as small print's."""
    rng = np.random.default_rng(0)
    page = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    page = cv2.GaussianBlur(page, (0, 0), 2) // 2 + 64
    page[:, ::7] //= 2
    return cv2.GaussianBlur(page, (0, 0), 0.7)


def _quad(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


def _turned(quad: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = quad.mean(axis=0)
    return ((quad - middle) @ turn + middle).astype(np.float32)


def _straightened(page: np.ndarray, quad: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Straighten at the page's resolution, then scale to a size: slow, and skips no pixel."""
    width = round(float(np.linalg.norm(quad[1] - quad[0])))
    height = round(float(np.linalg.norm(quad[3] - quad[0])))
    flat = _quad(0, 0, width, height) - 0.5
    matrix = cv2.getPerspectiveTransform((quad - 0.5).astype(np.float32), flat.astype(np.float32))
    crop = cv2.warpPerspective(page, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return resize_image(crop, *size)


@pytest.mark.parametrize("geometry", [STRETCH, PAD])
@pytest.mark.parametrize("box", [(10, 20, 70, 36), (5, 3, 205, 83), (0, 0, 100, 30)])
def test_a_level_quad_gives_what_fit_image_gives_of_the_crop(
    box: tuple[int, int, int, int], geometry: ImageGeometry
) -> None:
    left, top, right, bottom = box
    page = _page()
    image, content_width = fit_image(page[top:bottom, left:right], geometry)
    (crop,) = rectify(page, _quad(*box)[None], geometry, TIGHT)
    assert (crop == image[:, :content_width]).all()
    near = _quad(*box) + np.array([0.3, -0.3], np.float32)
    if min(box) > 0:
        (crop,) = rectify(page, near[None], geometry, TIGHT)
        assert (crop == image[:, :content_width]).all()


@pytest.mark.parametrize("geometry", [STRETCH, PAD])
@pytest.mark.parametrize("degrees", [-3, 8, 30, 45, 80, 90, 180, 260])
@pytest.mark.parametrize("scale", [0.6, 1, 2.3, 4])
def test_a_turned_quad_gives_nearly_what_straightening_then_fitting_does(
    degrees: float, scale: float, geometry: ImageGeometry
) -> None:
    page = _page(600, 600)
    half = np.array([55, 16]) * scale
    quad = _turned(_quad(*(300 - half), *(300 + half)), degrees)
    (crop,) = rectify(page, quad[None], geometry, TIGHT)
    difference = crop - _straightened(page, quad, crop.shape[:2]).astype(float)
    assert np.abs(difference).mean() < 0.15 * page.std()


def test_a_perspective_quad_is_straightened() -> None:
    page = np.full((120, 300, 3), 255, np.uint8)
    quad = np.array([[40, 30], [260, 10], [250, 110], [45, 70]], np.float32)
    cv2.fillConvexPoly(page, np.rint(quad).astype(np.int32), (200, 0, 0))
    (crop,) = rectify(page, quad[None], PAD, TIGHT)
    assert (crop[2:-2, 2:-2] == (200, 0, 0)).all()
    (wider,) = rectify(page, quad[None], PAD, RectifyConfig(margin=0.3))
    assert (wider[0] == 255).all()
    assert (wider[:, 0] == 255).all()
    assert (wider[16, 16:-16] == (200, 0, 0)).all()


def test_the_first_corner_is_where_reading_begins() -> None:
    page = np.zeros((60, 60, 3), np.uint8)
    page[:30] = 255
    quad = _quad(0, 0, 60, 60)
    for turns, side in enumerate([np.s_[:16], np.s_[:, 16:], np.s_[16:], np.s_[:, :16]]):
        (crop,) = rectify(page, np.roll(quad, turns, axis=0)[None], PAD, TIGHT)
        assert crop[side].mean() > 240, turns


def test_a_long_word_keeps_its_shape_up_to_64_heights() -> None:
    page = _page(40, 3000)
    quads = np.stack([_quad(0, 10, 1000, 30), _quad(0, 10, 3000, 11)])
    long, thin = rectify(page, quads, PAD, TIGHT)
    assert long.shape == (32, 1600, 3)
    assert thin.shape == (32, 2048, 3)


def test_quads_that_are_none_have_a_defined_result() -> None:
    page = _page()
    bow_tie = _quad(10, 10, 80, 40)[[0, 1, 3, 2]]
    quads = np.stack(
        [
            bow_tie,
            _quad(10, 10, 80, 40)[::-1],  # anticlockwise
            _quad(50, 50, 50, 50),
            _quad(20, 30, 80, 30),
            _quad(7, 8, 8, 9),
            _quad(-500, 10, -400, 40),
            np.full((4, 2), math.nan, np.float32),
        ]
    )
    crops = rectify(page, quads, PAD, TIGHT)
    (whole,) = rectify(page, _quad(10, 10, 80, 40)[None], PAD, TIGHT)
    assert (crops[0] == whole).all()
    assert (crops[1] == whole).all()
    assert [crop.shape[1] for crop in crops[2:5]] == [32, 1920, 32]
    assert (crops[4] == page[8, 7]).all()
    for blank in crops[5:]:
        assert blank.shape == (32, 32, 3)
        assert (blank == PADDING_VALUE).all()


def test_the_border_goes_on_outside_the_image() -> None:
    page = np.full((50, 80, 3), 90, np.uint8)
    for quad in (_quad(-20, -10, 30, 20), _turned(_quad(60, 30, 100, 60), 20)):
        (crop,) = rectify(page, quad[None], PAD)
        assert (crop == 90).all()


def test_no_quads_give_no_crops() -> None:
    assert rectify(_page(), np.zeros((0, 4, 2), np.float32), PAD) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(
            st.floats(-200, 400, width=32) | st.sampled_from(NOWHERE).map(np.float32).map(float),
            min_size=8,
            max_size=8,
        ),
        max_size=4,
    ),
    st.sampled_from([STRETCH, PAD]),
    st.sampled_from([(1, 1), (40, 60)]),
)
def test_any_quads_give_crops_of_the_models_height(
    values: list[list[float]], geometry: ImageGeometry, size: tuple[int, int]
) -> None:
    quads = np.array(values, np.float32).reshape(-1, 4, 2)
    crops = rectify(_page(*size), quads, geometry)
    assert len(crops) == len(quads)
    for crop in crops:
        assert crop.shape[0] == geometry.height
        assert 1 <= crop.shape[1] <= 64 * geometry.height
        assert geometry.fit == "pad" or crop.shape[1] == geometry.width
