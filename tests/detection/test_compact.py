from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ocr_model.detection.boxes import find_words
from ocr_model.detection.bundle import (
    DetectorBundle,
    DetectorInfo,
    load_detector_bundle,
    serialize_detector,
)
from ocr_model.detection.compact import CompactDetector, CompactDetectorConfig, load_detector
from ocr_model.detection.maps import BoxConfig
from ocr_model.detection.network import CompactNetwork, CompactNetworkConfig
from ocr_model.errors import BundleError, ConfigError
from ocr_model.model_folder import MODEL_FILE, WEIGHTS_FILE
from ocr_model.weights import DETECTOR, find_model

SMALL = CompactNetworkConfig(channels=(16, 16, 32, 32), num_blocks=(1, 1, 1, 1))
BOUND = CompactDetectorConfig(max_side_pixels=128, magnification=1)


@pytest.fixture(scope="module")
def network() -> CompactNetwork:
    torch.manual_seed(0)
    network = CompactNetwork(SMALL).train()
    for _ in range(3):  # batch norms that have seen something
        network(torch.randint(0, 256, (2, 64, 64, 3)).byte())
    return network.eval()


@pytest.fixture
def folder(network: CompactNetwork, tmp_path: Path) -> Path:
    info = DetectorInfo(model=SMALL, boxes=BoxConfig(low_text=0.3), metrics={"hmean": 0.5})
    for name, content in serialize_detector(network, info).items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def _detector(network: CompactNetwork, settings: CompactDetectorConfig = BOUND) -> CompactDetector:
    return CompactDetector(DetectorBundle(DetectorInfo(model=SMALL), network), settings)


def _picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_what_is_found_does_not_depend_on_the_other_images(network: CompactNetwork) -> None:
    sizes = [(100, 60), (97, 64), (30, 128), (100, 60), (1, 1), (300, 200)]
    images = [_picture(*size, seed=seed) for seed, size in enumerate(sizes)]
    detector = _detector(network)
    for image, together in zip(images, detector.find(images), strict=True):
        (alone,) = detector.find([image])
        np.testing.assert_allclose(together.region, alone.region, atol=1e-5)
        np.testing.assert_allclose(together.affinity, alone.affinity, atol=1e-5)
        assert together.pixels_per_cell == alone.pixels_per_cell


@pytest.mark.parametrize(
    ("size", "cells", "pixels_per_cell"),
    [
        ((100, 60), (50, 30), (2.0, 2.0)),
        ((101, 61), (51, 31), (2.0, 2.0)),
        ((256, 128), (64, 32), (4.0, 4.0)),
        ((1, 1), (1, 1), (2.0, 2.0)),
        ((2000, 1), (64, 1), (2.0, 31.25)),
    ],
)
def test_maps_say_what_their_cells_cover(
    network: CompactNetwork,
    size: tuple[int, int],
    cells: tuple[int, int],
    pixels_per_cell: tuple[float, float],
) -> None:
    (maps,) = _detector(network).find([_picture(*size)])
    assert maps.region.shape == maps.affinity.shape == cells
    assert maps.pixels_per_cell == pixels_per_cell
    assert maps.image_size == size
    assert maps.region.min() >= 0
    assert maps.region.max() <= 1


def test_small_images_are_magnified_up_to_the_bound(network: CompactNetwork) -> None:
    settings = CompactDetectorConfig(max_side_pixels=128, magnification=2)
    small, large = _detector(network, settings).find([_picture(40, 30), _picture(40, 100)])
    assert small.region.shape == (40, 30)
    assert small.pixels_per_cell == (1.0, 1.0)
    assert large.region.shape[1] == 64


def test_a_batch_is_as_large_as_the_bound_on_pixels_allows(network: CompactNetwork) -> None:
    images = [_picture(64, 64, seed=seed) for seed in range(5)]
    all_at_once = _detector(network).find(images)
    settings = CompactDetectorConfig(max_side_pixels=128, magnification=1, batch_pixels=1)
    for one, other in zip(all_at_once, _detector(network, settings).find(images), strict=True):
        np.testing.assert_allclose(one.region, other.region, atol=1e-5)


def test_nothing_given_is_nothing_found(network: CompactNetwork) -> None:
    assert _detector(network).find([]) == []


def test_a_bundle_round_trip_is_bit_equal(network: CompactNetwork, folder: Path) -> None:
    image = _picture(80, 90)
    loaded = load_detector(folder, BOUND, device="cpu")
    (before,), (after,) = _detector(network).find([image]), loaded.find([image])
    np.testing.assert_array_equal(before.region, after.region)
    np.testing.assert_array_equal(before.affinity, after.affinity)
    assert loaded.info.boxes.low_text == 0.3
    assert loaded.info.metrics == {"hmean": 0.5}


@pytest.mark.parametrize("place", [0, 200, -1])
def test_a_flipped_byte_is_an_error(folder: Path, place: int) -> None:
    weights = bytearray((folder / WEIGHTS_FILE).read_bytes())
    weights[place] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(weights)
    with pytest.raises(BundleError, match="was altered"):
        load_detector_bundle(folder)


def test_weights_cut_short_are_an_error(folder: Path) -> None:
    weights = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(weights[:-10])
    with pytest.raises(BundleError, match="cut short"):
        load_detector_bundle(folder)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"num_blocks": [\n      1,', '"num_blocks": [\n      2,', "of another architecture"),
        ('"format": 1', '"format": 9', "this program reads format 1"),
        ('"model"', '"network"', "is not understood"),
        ("0.485", "0.5", "no model here normalises"),
        ('"boxes"', '"charset": "abc", "boxes"', "is a recogniser"),
    ],
)
def test_an_altered_description_is_an_error(folder: Path, old: str, new: str, fault: str) -> None:
    text = (folder / MODEL_FILE).read_text()
    assert old in text
    (folder / MODEL_FILE).write_text(text.replace(old, new, 1))
    with pytest.raises(BundleError, match=fault):
        load_detector_bundle(folder)


def test_a_recognisers_bundle_is_refused(bundle_path: Path) -> None:
    with pytest.raises(BundleError, match="is a recogniser"):
        load_detector(bundle_path)


def test_a_device_that_is_not_there_is_an_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be used here"):
        load_detector(folder, device="cuda:99")


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="max_side_pixels"):
        CompactDetectorConfig(max_side_pixels=16)


def test_letters_too_large_to_be_seen_whole_are_seen_smaller() -> None:
    picture = np.full((400, 900, 3), 255, np.uint8)
    cv2.putText(picture, "EXIT", (60, 300), cv2.FONT_HERSHEY_DUPLEX, 8, (0, 0, 0), 20)
    cv2.putText(picture, "this way to the garden", (60, 380), cv2.FONT_HERSHEY_DUPLEX, 1, 0, 2)
    found = {}
    for looks in (1, 3):
        detector = load_detector(find_model(DETECTOR), CompactDetectorConfig(max_looks=looks))
        (maps,) = detector.find([picture])
        assert (maps.smaller is None) == (looks == 1)
        found[looks] = find_words(maps, detector.boxes).quads
    is_high = [np.ptp(quad[:, 1]) > 150 for quad in found[3]]
    assert sum(is_high) == 1
    assert len(found[3]) == 6
    assert len(found[1]) != 6
