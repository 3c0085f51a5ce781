from pathlib import Path

import pytest
import torch
import torchvision.models
from pydantic import ValidationError

from ocr_model.errors import ConfigError
from ocr_model.image import ImageGeometry
from ocr_model.models import build_model
from ocr_model.models.backbones import (
    ResNetBackbone,
    ResNetName,
    horizontal_stride,
    text_strides,
)
from ocr_model.models.crnn import CRNNConfig
from ocr_model.models.residual_blocks import Stride
from ocr_model.models.resnet_transformer import ResNetTransformerConfig


@pytest.fixture(scope="module")
def resnet18_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "resnet18.pt"
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), path)
    return path


@pytest.mark.parametrize("name", ["resnet10", "resnet18", "resnet34", "resnet50"])
def test_text_strides_keep_a_column_every_four_pixels(name: ResNetName) -> None:
    backbone = ResNetBackbone(name, strides=text_strides("text"), width=0.25).eval()
    assert backbone.map_size(32, 128) == (2, 32)
    assert backbone(torch.zeros(1, 3, 32, 128)).shape == (1, backbone.num_channels, 2, 32)
    assert horizontal_stride(text_strides("text"), 4) == 4


@pytest.mark.parametrize("width", [0.125, 0.24])
def test_layers_so_narrow_that_torch_breaks_on_them_are_refused(width: float) -> None:
    message = f"width {width} makes layers of .* channels, at least 16"
    with pytest.raises(ConfigError, match=message):
        ResNetBackbone("resnet10", strides={}, width=width)
    with pytest.raises(ValidationError, match=message):
        ResNetTransformerConfig(backbone_width=width)


def test_untouched_strides_leave_four_tokens() -> None:
    backbone = ResNetBackbone("resnet18", strides=text_strides("untouched")).eval()
    assert backbone.map_size(32, 128) == (1, 4)
    assert backbone(torch.zeros(1, 3, 32, 128)).shape == (1, 512, 1, 4)


@pytest.mark.parametrize("strides", [{}, text_strides("text"), {"layer3": (2, 1)}])
@pytest.mark.parametrize("num_layers", [2, 3, 4])
def test_the_map_has_the_announced_size_for_odd_images_too(
    strides: dict[str, Stride], num_layers: int
) -> None:
    wanted = {name: stride for name, stride in strides.items() if name[-1] <= str(num_layers)}
    wanted |= {name: stride for name, stride in strides.items() if name == "maxpool"}
    backbone = ResNetBackbone("resnet10", strides=wanted, width=0.25, num_layers=num_layers).eval()
    for height, width in ((32, 128), (33, 101), (50, 200), (31, 7)):
        features = backbone(torch.zeros(1, 3, height, width))
        assert features.shape[1] == backbone.num_channels
        assert tuple(features.shape[2:]) == backbone.map_size(height, width)


def test_pretrained_weights_from_a_file_compute_what_torchvision_computes(
    resnet18_file: Path,
) -> None:
    original = torchvision.models.resnet18(weights=None)
    original.load_state_dict(torch.load(resnet18_file, weights_only=True))
    original.fc = torch.nn.Identity()
    original.eval()
    backbone = ResNetBackbone("resnet18", strides={}, weights=str(resnet18_file)).eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        assert torch.allclose(backbone(images).mean((2, 3)), original(images), atol=1e-5)


def test_crnn_takes_the_layers_that_it_keeps_from_a_whole_resnet(resnet18_file: Path) -> None:
    config = CRNNConfig(hidden=32, pretrained=str(resnet18_file))
    model = build_model(config, 20, ImageGeometry())
    found, expected = model.state_dict(), torch.load(resnet18_file, weights_only=True)
    kept = [name for name in expected if not name.startswith(("fc.", "layer4."))]
    assert all(torch.equal(found[f"backbone.{name}"], expected[name]) for name in kept)


def test_a_tilde_is_the_home_folder(resnet18_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(resnet18_file.parent))
    ResNetBackbone("resnet18", strides={}, weights=f"~/{resnet18_file.name}")


def test_a_missing_weights_file_is_a_config_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.pt"):
        ResNetBackbone("resnet18", strides={}, weights=str(tmp_path / "nowhere.pt"))


def test_a_weights_file_that_torch_cannot_read_is_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "garbage.pt"
    path.write_bytes(b"no tensors here")
    with pytest.raises(ConfigError, match=r"garbage\.pt"):
        ResNetBackbone("resnet18", strides={}, weights=str(path))


@pytest.mark.parametrize("name", ["resnet34", "resnet50"])
def test_weights_of_another_resnet_are_not_loaded_in_part(
    name: ResNetName, resnet18_file: Path
) -> None:
    with pytest.raises(ConfigError, match=f"{resnet18_file.name}.*{name}"):
        ResNetBackbone(name, strides={}, weights=str(resnet18_file))


@pytest.mark.parametrize(("name", "width"), [("resnet18", 0.5), ("resnet10", 1.0)])
def test_pretrained_weights_exist_for_torchvisions_widths_only(
    name: ResNetName, width: float, resnet18_file: Path
) -> None:
    with pytest.raises(ConfigError, match="no pretrained weights"):
        ResNetBackbone(name, strides={}, width=width, weights=str(resnet18_file))
