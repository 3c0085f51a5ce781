"""The one list of models."""

from typing import Annotated, assert_never

from pydantic import Field

from ocr_model.image import ImageGeometry
from ocr_model.models.crnn import CRNN, CRNNConfig
from ocr_model.models.interface import RecognizerModel
from ocr_model.models.resnet_transformer import ResNetTransformer, ResNetTransformerConfig

ModelConfig = Annotated[ResNetTransformerConfig | CRNNConfig, Field(discriminator="name")]


def build_model(
    config: ResNetTransformerConfig | CRNNConfig, num_classes: int, geometry: ImageGeometry
) -> RecognizerModel:
    """Build the network that `config` names, in training mode, on the CPU."""
    match config:
        case ResNetTransformerConfig():
            return ResNetTransformer(config, num_classes, geometry)
        case CRNNConfig():
            return CRNN(config, num_classes, geometry)
        case _:
            assert_never(config)
