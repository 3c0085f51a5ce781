"""CRNN: convolutional columns, two bidirectional GRUs over time, CTC (arXiv:1507.05717)."""

from typing import Literal, assert_never

from jaxtyping import Bool, Float, Int
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn, zeros

from ocr_model.decoding.ctc import ctc_losses, decode_ctc
from ocr_model.decoding.readings import Readings
from ocr_model.errors import ConfigError
from ocr_model.image import ImageGeometry
from ocr_model.models.backbones import ResNetBackbone, Stride, horizontal_stride
from ocr_model.models.interface import (
    Features,
    Images,
    LossOutput,
    NamedModelConfig,
    PixelNormalization,
    RecognizerModel,
    Targets,
)


class CRNNConfig(NamedModelConfig):
    """Settings of `crnn`."""

    name: Literal["crnn"] = "crnn"
    strides: Literal["wide", "narrow", "untouched"] = "wide"
    """Pixels per column. wide: 8. narrow: 4, for long words. untouched: 16, ImageNet's, which
    leaves 13 columns of a 200 pixel wide image."""
    pretrained: str | None = None
    """null, `imagenet`, or the path of a torchvision ResNet-18 state dict."""
    hidden: PositiveInt = 256
    dropout: NonNegativeFloat = 0.1

    def num_columns(self, width: int) -> int | None:
        """Return the number of CTC columns; a label needs one per character and repeat."""
        return -(-width // horizontal_stride(_strides(self.strides), 3))


class CRNN(RecognizerModel):
    """ResNet-18 up to its third layer, then recurrence over the columns.

    The first GRU's directions are summed, the second's concatenated. Both recur over time.
    """

    def __init__(self, config: CRNNConfig, num_classes: int, geometry: ImageGeometry) -> None:
        super().__init__()
        if geometry.fit == "pad":
            raise ConfigError(
                "crnn reads every column, padding too: it needs image.fit=stretch; "
                "resnet_transformer masks padding"
            )
        self.pixels = PixelNormalization()
        strides = _strides(config.strides)
        self.backbone = ResNetBackbone(
            "resnet18", strides=strides, num_layers=3, weights=config.pretrained
        )
        channels = self.backbone.num_channels
        self.convolution = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        map_height, _ = self.backbone.map_size(geometry.height, geometry.width)
        self.project = nn.Linear(channels * map_height, config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.summed = nn.GRU(config.hidden, config.hidden, bidirectional=True, batch_first=True)
        self.concatenated = nn.GRU(
            config.hidden, config.hidden, bidirectional=True, batch_first=True
        )
        self.classifier = nn.Linear(2 * config.hidden, num_classes)

    def encode(self, images: Images, content_width: Int[Tensor, " batch"]) -> Features:
        """Turn pixels into one token per column; `content_width` is always the full width."""
        feature_map = self.convolution(self.backbone(self.pixels(images)))
        columns = feature_map.permute(0, 3, 1, 2).flatten(2)  # batch, time, channels * height
        columns = self.dropout(self.project(columns))
        forward, backward = self.summed(columns)[0].chunk(2, dim=-1)
        tokens = self.concatenated(self.dropout(forward + backward))[0]
        is_padding = zeros(tokens.shape[:2], dtype=bool, device=tokens.device)  # type: ignore[call-overload]  # torch's stub wants torch.bool
        return Features(tokens, is_padding, (1, tokens.shape[1]))

    def loss(
        self,
        features: Features,
        targets: Targets,
        *,
        label_smoothing: float = 0.0,
        sampling_mask: Bool[Tensor, "batch steps"] | None = None,
    ) -> LossOutput:
        """Return the CTC loss per character.

        Raises:
            ConfigError: Label smoothing or scheduled sampling was asked for; CTC has neither.
        """
        if label_smoothing or sampling_mask is not None:
            raise ConfigError("crnn trains by CTC: label smoothing and sampling have no effect")
        losses = ctc_losses(self._log_probs(features), targets.class_ids, targets.num_chars)
        none = targets.num_chars.new_zeros(())
        return LossOutput(losses, {"ctc": losses}, none, none)

    def decode(
        self, features: Features, *, max_chars: int, with_attention: bool = False
    ) -> Readings:
        """Read the best path."""
        return decode_ctc(self._log_probs(features), max_chars)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the ResNet's parameters."""
        return list(self.backbone.parameters())

    def _log_probs(self, features: Features) -> Float[Tensor, "batch time classes"]:
        logits: Tensor = self.classifier(features.tokens)
        return logits.float().log_softmax(-1)


def _strides(preset: Literal["wide", "narrow", "untouched"]) -> dict[str, Stride]:
    match preset:
        case "wide":
            return {"layer3": (2, 1)}
        case "narrow":
            return {"layer2": (2, 1), "layer3": (2, 1)}
        case "untouched":
            return {}
        case _:
            assert_never(preset)
