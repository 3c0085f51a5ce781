import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ocr_model.charset import BLANK, EOS, Charset
from ocr_model.decoding.readings import to_predictions
from ocr_model.image import ImageGeometry, fit_image
from ocr_model.models import ModelConfig, build_model
from ocr_model.models.attention_maps import AttentionMaps, read_with_attention
from ocr_model.models.crnn import CRNNConfig
from ocr_model.models.interface import RecognizerModel
from ocr_model.models.resnet_transformer import ResNetTransformerConfig

CHARSET = Charset("0123456789")
TRANSFORMER = ResNetTransformerConfig(
    backbone="resnet10", backbone_width=0.25, hidden=32, num_layers=2, num_heads=4,
    num_kv_heads=2, feed_forward=64, max_chars=12,
)  # fmt: skip
GEOMETRIES = {"stretch": ImageGeometry(), "pad": ImageGeometry(fit="pad")}
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 100, 3), np.uint8)


def _model(config: ModelConfig, geometry: ImageGeometry) -> RecognizerModel:
    torch.manual_seed(0)
    model = build_model(config, CHARSET.num_classes, geometry)
    images = torch.randint(0, 256, (4, 32, 128, 3)).to(torch.uint8)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear) and module.out_features == CHARSET.num_classes:
                module.weight *= 8
                module.bias[[EOS, BLANK]] -= 1
        for _ in range(10):
            model.encode(images, torch.full((4,), 128))
    return model.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_sum_to_one_in_any_precision(dtype: torch.dtype) -> None:
    with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
        weights = _attend(TRANSFORMER).weights
    assert weights is not None
    assert weights.size
    assert weights.sum((3, 4)) == pytest.approx(np.ones(weights.shape[:3]), abs=1e-5)


def _attend(config: ModelConfig, fit: str = "stretch") -> AttentionMaps:
    geometry = GEOMETRIES[fit]
    return read_with_attention(_model(config, geometry), CHARSET, geometry, IMAGE, max_chars=10)


@pytest.mark.parametrize("fit", GEOMETRIES)
def test_a_decoders_maps_are_of_the_images_size_and_sum_to_one_before_they_are_scaled(
    fit: str,
) -> None:
    maps = _attend(TRANSFORMER, fit)
    num_chars = len(maps.prediction.text)
    assert num_chars > 0
    assert maps.weights is not None
    assert maps.weights.shape[:3] == (2, 4, num_chars)
    assert maps.weights.sum((3, 4)) == pytest.approx(np.ones((2, 4, num_chars)), abs=1e-5)
    assert maps.per_char().shape == (num_chars, 48, 100)
    assert maps.mean() == pytest.approx(maps.sum() / num_chars)


@pytest.mark.parametrize("config", [TRANSFORMER.replace(decode_with="ctc"), CRNNConfig(hidden=32)])
@pytest.mark.parametrize("fit", GEOMETRIES)
def test_a_ctc_models_maps_are_the_probabilities_of_its_columns(
    config: ModelConfig, fit: str
) -> None:
    maps = _attend(config, fit)
    assert maps.weights is None
    assert maps.frames is not None
    assert maps.frames.sum(1) == pytest.approx(np.ones(len(maps.frames)), abs=1e-4)
    assert len(maps.frames) == np.ceil(maps.columns_used)
    assert len(maps.prediction.text) > 0
    assert maps.per_char().shape == (len(maps.prediction.text), 48, 100)


def test_a_place_of_the_map_lies_over_the_same_place_of_the_image() -> None:
    """100 of 48 rows high become 67 columns of 128: 16.75 columns of 4 pixels."""
    maps = _attend(TRANSFORMER, "pad")
    assert maps.weights is not None
    assert maps.columns_used == pytest.approx(67 / 4)
    marked = np.zeros_like(maps.weights)
    marked[..., -1] = 1  # the last column, of which three quarters are image
    (heat, *_) = AttentionMaps(
        maps.image, maps.prediction, marked, None, maps.columns_used, maps.class_ids
    ).per_char()
    assert heat[:, :90].max() < 0.1
    assert heat[:, -3:].min() > 0.5


def test_maps_are_those_of_the_text_that_is_read_without_them() -> None:
    model = _model(TRANSFORMER, GEOMETRIES["stretch"])
    maps = read_with_attention(model, CHARSET, ImageGeometry(), IMAGE, max_chars=10)
    pixels, width = fit_image(IMAGE, ImageGeometry())
    with torch.inference_mode():
        features = model.encode(torch.from_numpy(pixels[None]), torch.tensor([width]))
        readings = model.decode(features, max_chars=10)
    (prediction,) = to_predictions(readings, CHARSET)
    assert readings.attention is None
    assert prediction.text == maps.prediction.text
    assert prediction.text
    assert prediction.confidence == pytest.approx(maps.prediction.confidence, rel=1e-4)


def test_an_empty_reading_has_no_map_and_is_drawn() -> None:
    maps = _attend(TRANSFORMER)
    assert maps.weights is not None
    empty = AttentionMaps(IMAGE, type(maps.prediction)("", 0.0, ()), maps.weights[:, :, :0], None,
                          maps.columns_used, ())  # fmt: skip
    assert empty.per_char().shape == (0, 48, 100)
    assert not empty.mean().any()
    assert empty.picture().startswith(b"\x89PNG")


@pytest.mark.parametrize("config", [TRANSFORMER, CRNNConfig(hidden=32)])
def test_every_model_has_a_picture(config: ModelConfig) -> None:
    with Image.open(io.BytesIO(_attend(config).picture())) as picture:
        assert picture.format == "PNG"
