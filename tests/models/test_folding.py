import pytest
import torch
from torch import nn

from ocr_model.image import ImageGeometry
from ocr_model.models import ModelConfig, build_model
from ocr_model.models.backbones import ResNetBackbone, text_strides
from ocr_model.models.crnn import CRNNConfig
from ocr_model.models.folding import cast_convolutions, folded
from ocr_model.models.padding import keep_content
from ocr_model.models.resnet_transformer import ResNetTransformerConfig


@pytest.mark.parametrize(
    "config",
    [
        ResNetTransformerConfig(
            backbone="resnet10", backbone_width=0.25, hidden=32, num_layers=1, num_heads=2,
            num_kv_heads=2, feed_forward=64,
        ),
        CRNNConfig(hidden=16),
    ],
)  # fmt: skip
def test_a_folded_model_sees_the_same_without_normalising(config: ModelConfig) -> None:
    torch.manual_seed(0)
    model = build_model(config, 40, ImageGeometry(fit="pad")).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training
            module.running_mean = torch.randn(module.num_features)
            module.running_var = torch.rand(module.num_features) + 0.5
    images = torch.randint(0, 256, (3, 32, 128, 3), dtype=torch.uint8)
    widths = torch.tensor([128, 64, 7])
    less = folded(model)
    with torch.inference_mode():
        features, fewer = model.encode(images, widths), less.encode(images, widths)
    is_content = ~features.is_padding
    torch.testing.assert_close(
        fewer.tokens[is_content], features.tokens[is_content], rtol=1e-3, atol=1e-4
    )
    assert not any(isinstance(module, nn.BatchNorm2d) for module in less.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("size", [(32, 128), (32, 1), (13, 17), (4, 2)])
def test_maxima_are_the_same_with_gradients_and_without(size: tuple[int, int]) -> None:
    backbone = ResNetBackbone("resnet10", strides=text_strides("text"), width=0.25).eval()
    images = torch.randn(2, 3, *size)
    with torch.inference_mode():
        without = backbone(images)
    torch.testing.assert_close(without, backbone(images).detach(), rtol=0, atol=0)


def test_padding_is_emptied_in_place_as_by_a_product() -> None:
    is_content = torch.arange(64) < torch.tensor([[64], [40], [7]])
    features = torch.randn(3, 5, 4, 32).contiguous(memory_format=torch.channels_last)
    product = keep_content(features, is_content, 2)
    assert (product == 0).any()
    with torch.inference_mode():
        emptied = features.clone()
        assert keep_content(emptied, is_content, 2) is emptied
    torch.testing.assert_close(emptied, product, rtol=0, atol=0)


def test_convolutions_that_are_cast_compute_what_autocast_makes_of_them() -> None:
    backbone = folded(ResNetBackbone("resnet10", strides={}, width=0.25).eval())
    images = torch.randn(2, 3, 32, 64)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        expected = backbone(images)
        assert torch.equal(cast_convolutions(backbone, torch.bfloat16)(images), expected)
    assert backbone.conv1.weight.dtype is torch.bfloat16
