from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from easyocr import Reader
from easyocr.craft import CRAFT
from easyocr.detection import get_textbox
from easyocr.imgproc import normalizeMeanVariance, resize_aspect_ratio
from torch import nn

from ocr_model.detection.boxes import find_words
from ocr_model.detection.craft import CraftConfig, CraftDetector
from ocr_model.detection.craft_weights import load_craft
from ocr_model.detection.grouping import group_lines
from ocr_model.errors import BundleError, ConfigError

SaveWeights = Callable[..., Path]


def text_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Words on a light ground."""
    draws = np.random.default_rng(seed)
    image = np.full((height, width, 3), draws.integers(180, 255, 3), np.uint8)
    for top in range(20, height, 30):
        place = int(draws.integers(0, 30)), top
        cv2.putText(image, "Some words 42", place, 0, 0.6, draws.integers(0, 90, 3).tolist())
    return image


@pytest.fixture(scope="module")
def craft_network() -> nn.Module:
    """Return a network of random weights whose maps cross the thresholds; not to be changed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = CRAFT().eval()
    image = torch.from_numpy(text_picture(128, 256)).permute(2, 0, 1)[None] / 64 - 2
    with torch.no_grad():
        maps = network(image)[0].flatten(0, 2)
        middle, high = maps.quantile(torch.tensor([0.5, 0.9]), dim=0)
        scale = torch.tensor([0.7, 0.3]) / (high - middle)
        last = network.conv_cls[-1]
        last.bias.copy_((last.bias - middle) * scale)
        last.weight.mul_(scale[:, None, None, None])
    return network


@pytest.fixture
def craft_file(craft_network: nn.Module, tmp_path: Path) -> SaveWeights:
    """Return a function that saves the weights, or what is made of them, and gives the path."""

    def save(change: Callable[[dict[str, torch.Tensor]], object] = dict, **settings: bool) -> Path:
        path = tmp_path / "craft_mlt_25k.pth"
        torch.save(change(craft_network.state_dict()), path, **settings)
        return path

    return save


@pytest.fixture(scope="module")
def detector(craft_network: nn.Module) -> CraftDetector:
    return CraftDetector(craft_network, precision="fp32")


def _easyocr_maps(network: nn.Module, image: np.ndarray, config: CraftConfig) -> np.ndarray:
    resized, _, _ = resize_aspect_ratio(
        image, config.canvas_size, cv2.INTER_LINEAR, config.mag_ratio
    )
    values = torch.from_numpy(normalizeMeanVariance(resized).transpose(2, 0, 1))
    with torch.no_grad():
        return network(values[None])[0][0].permute(2, 0, 1).numpy()


@pytest.mark.parametrize("size", [(64, 96), (50, 121), (1, 1), (3, 200)])
@pytest.mark.parametrize(
    "config",
    [CraftConfig(), CraftConfig(canvas_size=90), CraftConfig(mag_ratio=1.3)],
    ids=["as it is", "smaller", "larger"],
)
def test_maps_are_easyocrs(
    craft_network: nn.Module, size: tuple[int, int], config: CraftConfig
) -> None:
    image = text_picture(*size)
    [maps] = CraftDetector(craft_network, config, precision="fp32").find([image])
    expected = _easyocr_maps(craft_network, image, config)
    np.testing.assert_allclose(np.stack([maps.region, maps.affinity]), expected, atol=1e-5)
    assert maps.image_size == size


@pytest.mark.parametrize("config", [CraftConfig(), CraftConfig(canvas_size=200, mag_ratio=2)])
def test_lines_are_those_of_easyocrs_reader(craft_network: nn.Module, config: CraftConfig) -> None:
    image = text_picture(150, 260)
    [maps] = CraftDetector(craft_network, config, precision="fp32").find([image])
    lines = group_lines(find_words(maps).quads)
    reader = SimpleNamespace(get_textbox=get_textbox, detector=craft_network, device="cpu")
    sizes = config.model_dump(include={"canvas_size", "mag_ratio"})
    [level], [slanting] = Reader.detect(reader, image, **sizes)
    assert len(level) > 1
    corners = np.array(level)[:, [[0, 2], [1, 2], [1, 3], [0, 3]]]
    np.testing.assert_array_equal(lines.quads[: lines.num_level], corners)
    slanting_quads = np.array(slanting).reshape(-1, 4, 2)
    np.testing.assert_allclose(lines.quads[lines.num_level :], slanting_quads, atol=1e-3)


def test_no_image_changes_what_is_found_in_another(detector: CraftDetector) -> None:
    sizes = [(40, 60), (33, 64), (70, 40), (64, 33), (20, 20)]
    images = [text_picture(*size, seed=number) for number, size in enumerate(sizes)]
    together = detector.find(images)
    for image, maps in zip(images, together, strict=True):
        [alone] = detector.find([image])
        np.testing.assert_allclose(maps.region, alone.region, atol=1e-5)
        np.testing.assert_allclose(maps.affinity, alone.affinity, atol=1e-5)
        assert maps.image_size == alone.image_size == image.shape[:2]


def _batch_sizes(network: nn.Module, config: CraftConfig, images: list[np.ndarray]) -> list[int]:
    sizes = []
    handle = network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    CraftDetector(network, config).find(images)
    handle.remove()
    return sizes


def test_like_sizes_share_a_pass_up_to_a_number_of_pixels(craft_network: nn.Module) -> None:
    images = [text_picture(*size) for size in [(32, 64), (20, 50), (64, 32), (31, 63), (32, 33)]]
    assert _batch_sizes(craft_network, CraftConfig(), images) == [4, 1]
    three = CraftConfig(batch_pixels=3 * 32 * 64)
    assert _batch_sizes(craft_network, three, images) == [3, 1, 1]
    assert _batch_sizes(craft_network, CraftConfig(batch_pixels=1), images) == [1] * 5
    assert _batch_sizes(craft_network, CraftConfig(), []) == []


def test_cells_are_in_pixels_of_the_original(
    detector: CraftDetector, craft_network: nn.Module
) -> None:
    image = text_picture(100, 200)
    assert detector.find([image])[0].pixels_per_cell == (2, 2)
    half = CraftDetector(craft_network, CraftConfig(canvas_size=100), precision="fp32")
    [maps] = half.find([image])
    assert maps.pixels_per_cell == (4, 4)
    assert maps.region.shape == (32, 64)  # 50 x 100 pixels, padded to 64 x 128


def test_half_precision_differs_little(detector: CraftDetector, craft_network: nn.Module) -> None:
    image = text_picture(64, 64)
    [maps] = detector.find([image])
    [half] = CraftDetector(craft_network, precision="bf16").find([image])
    assert half.region.dtype == np.float32
    assert 0 < np.abs(maps.region - half.region).max() < 0.2


def test_a_device_that_is_not_here_is_refused(craft_network: nn.Module) -> None:
    with pytest.raises(ConfigError, match="device 'cuda:99' cannot be used here"):
        CraftDetector(craft_network, device="cuda:99")


def _old(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """As DataParallel of an old torch saved it."""
    return {f"module.{name}": value for name, value in state.items() if "num_" not in name}


@pytest.mark.parametrize("change", [dict, _old])
@pytest.mark.parametrize("is_zip", [True, False])
def test_weights_are_loaded_from_a_file_or_its_folder(
    detector: CraftDetector, craft_file: SaveWeights, change: Callable[..., object], is_zip: bool
) -> None:
    image = text_picture(32, 64)
    [expected] = detector.find([image])
    path = craft_file(change, _use_new_zipfile_serialization=is_zip)
    loaded = CraftDetector.load(
        CraftConfig(weights=str(path if is_zip else path.parent)), precision="fp32"
    )
    [maps] = loaded.find([image])
    np.testing.assert_allclose(maps.region, expected.region, atol=1e-5)


def _without_one(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state.items() if name != "conv_cls.8.bias"}


def _other_shape(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**state, "conv_cls.8.bias": torch.zeros(3)}


def _not_finite(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {**state, "conv_cls.8.bias": torch.tensor([0, torch.nan])}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without_one, "1 do not fit: conv_cls.8.bias is missing"),
        (_other_shape, r"conv_cls.8.bias is \(3,\), the network's \(2,\)"),
        (_not_finite, "conv_cls.8.bias has values that are not finite"),
        (lambda state: {**state, "extra": torch.zeros(1)}, "extra is not in the network"),
        (lambda state: {}, "holds dict, expected tensors by name"),
        (lambda state: {"epoch": 3}, "holds dict, expected tensors by name"),
        (lambda state: [3], "holds list, expected tensors by name"),
        (lambda state: Path("code"), "cannot be read as weights .*tensors only"),
    ],
)
def test_weights_of_another_kind_are_a_clear_error(
    craft_file: SaveWeights, change: Callable[..., object], said: str
) -> None:
    with pytest.raises(BundleError, match=said):
        load_craft(craft_file(change))


@pytest.mark.parametrize("is_zip", [True, False])
def test_damaged_files_are_a_clear_error(craft_file: SaveWeights, is_zip: bool) -> None:
    path = craft_file(
        lambda state: {"bias": torch.zeros(99)}, _use_new_zipfile_serialization=is_zip
    )
    whole, draws = path.read_bytes(), np.random.default_rng(0)
    for cut in (0, 1, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(BundleError):
            load_craft(path)
    for _ in range(40):
        damaged = bytearray(whole)
        for place in draws.integers(0, len(whole), 4):
            damaged[place] = draws.integers(256)
        path.write_bytes(damaged)
        with pytest.raises(BundleError):
            load_craft(path)


def test_absent_weights_say_what_to_do(tmp_path: Path) -> None:
    for weights in (tmp_path, tmp_path / "absent.pth"):
        with pytest.raises(BundleError, match="there are no weights of CRAFT at") as caught:
            CraftDetector.load(CraftConfig(weights=str(weights)))
        assert "jobs/fetch_models.py" in str(caught.value)
        assert "reader.detector.weights=PATH" in str(caught.value)
        assert "reader.detector.name=compact" in str(caught.value)
