"""CRNN: convolutional columns, two bidirectional GRUs over time, CTC (arXiv:1507.05717)."""

from typing import Literal, assert_never

from jaxtyping import Bool, Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ocr_model.decoding.ctc import blank_out, columns_for, ctc_losses
from ocr_model.decoding.options import GREEDY, DecodeOptions
from ocr_model.decoding.readings import Readings
from ocr_model.decoding.search import read_columns
from ocr_model.errors import ConfigError
from ocr_model.image import ImageGeometry
from ocr_model.models.backbones import ResNetBackbone, horizontal_stride
from ocr_model.models.interface import (
    Features,
    Images,
    LossOutput,
    NamedModelConfig,
    PixelNormalization,
    RecognizerModel,
    Targets,
)
from ocr_model.models.padding import content_mask, keep_content
from ocr_model.models.residual_blocks import Stride


class CRNNConfig(NamedModelConfig):
    """Settings of `crnn`."""

    name: Literal["crnn"] = "crnn"
    strides: Literal["wide", "narrow", "untouched"] = "wide"
    """Pixels per column. wide: 8. narrow: 4, for long words. untouched: 16, ImageNet's, which
    leaves 13 columns of a 200 pixel wide image."""
    pretrained: str | None = None
    """null, `imagenet`, or the path of a torchvision ResNet-18 state dict."""
    hidden: PositiveInt = 256
    dropout: float = Field(0.1, ge=0, lt=1)

    def pixels_per_column(self) -> int:
        """Return the pixels per CTC column; a label needs a column per character and repeat."""
        return horizontal_stride(_strides(self.strides), 3)


class CRNN(RecognizerModel):
    """ResNet-18 up to its third layer, then recurrence over the columns.

    The first GRU's directions are summed, the second's concatenated. Both recur over time.
    """

    def __init__(self, config: CRNNConfig, num_classes: int, geometry: ImageGeometry) -> None:
        super().__init__()
        self.masks_padding = geometry.fit == "pad"
        self.pixels_per_column = config.pixels_per_column()
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
        """Turn pixels into one token per column; the recurrence never sees padding."""
        is_content = content_mask(images, content_width)
        kept = is_content if self.masks_padding else None
        feature_map = self.backbone(self.pixels(images), kept)
        feature_map = self.convolution(keep_content(feature_map, kept, self.pixels_per_column))
        columns = feature_map.permute(0, 3, 1, 2).flatten(2)  # batch, time, channels * height
        columns = self.dropout(self.project(columns))
        is_padding = ~is_content[:, :: self.pixels_per_column]
        # On the CPU, as packing wants it; stretched images are not packed and nothing waits.
        num_columns = (~is_padding).sum(1).cpu() if self.masks_padding else None
        forward, backward = _recur(self.summed, columns, num_columns).chunk(2, dim=-1)
        tokens = _recur(self.concatenated, self.dropout(forward + backward), num_columns)
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
        ids, num_chars = targets.class_ids, targets.num_chars
        num_columns = columns_for(ids, num_chars, features.is_padding)
        losses = ctc_losses(self._log_probs(features), ids, num_chars, num_columns)
        none = targets.num_chars.new_zeros(())
        return LossOutput(losses, none, none)

    def decode(
        self,
        features: Features,
        *,
        max_chars: int,
        options: DecodeOptions = GREEDY,
        with_attention: bool = False,
    ) -> Readings:
        """Read by CTC."""
        log_probs = self.column_log_probs(features)
        return read_columns(log_probs, max_chars, options, with_frames=with_attention)

    def column_log_probs(self, features: Features) -> Float[Tensor, "batch time classes"]:
        """Return what CTC reads; padding holds nothing but blanks."""
        return blank_out(self._log_probs(features), features.is_padding)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the ResNet's parameters."""
        return list(self.backbone.parameters())

    def _log_probs(self, features: Features) -> Float[Tensor, "batch time classes"]:
        logits: Tensor = self.classifier(features.tokens)
        return logits.float().log_softmax(-1)


def _recur(
    gru: nn.GRU,
    columns: Float[Tensor, "batch time channels"],
    num_columns: Int[Tensor, " batch"] | None,
) -> Float[Tensor, "batch time hidden"]:
    """Run over the first `num_columns` of each row, in both directions; the rest becomes 0."""
    if num_columns is None:
        outputs: Tensor = gru(columns)[0]
        return outputs
    packed = pack_padded_sequence(columns, num_columns, batch_first=True, enforce_sorted=False)
    unpacked, _ = pad_packed_sequence(
        gru(packed)[0], batch_first=True, total_length=columns.shape[1]
    )
    return unpacked


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
