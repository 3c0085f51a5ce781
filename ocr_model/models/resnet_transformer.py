"""The main family: a ResNet encoder, a Transformer decoder, and a CTC head beside it."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)
from torch import Tensor, nn
from torch.nn import functional as F

from ocr_model.charset import EOS, PAD, SOS
from ocr_model.decoding.ctc import blank_out, columns_for, ctc_losses
from ocr_model.decoding.options import GREEDY, DecodeOptions
from ocr_model.decoding.readings import Readings
from ocr_model.decoding.search import read_columns, write
from ocr_model.image import ImageGeometry
from ocr_model.models.attention import TransformerDecoder, sinusoidal_positions_2d
from ocr_model.models.backbones import (
    ResNetBackbone,
    ResNetName,
    horizontal_stride,
    require_enough_channels,
    text_strides,
)
from ocr_model.models.interface import (
    Features,
    Images,
    LossOutput,
    NamedModelConfig,
    PixelNormalization,
    RecognizerModel,
    Targets,
)
from ocr_model.models.padding import content_mask
from ocr_model.models.writing import CachedWriter


class ResNetTransformerConfig(NamedModelConfig):
    """Settings of `resnet_transformer`; the defaults are the full-size model."""

    takes_any_height = True
    name: Literal["resnet_transformer"] = "resnet_transformer"
    backbone: ResNetName = "resnet50"
    """Which ResNet; resnet10 has one block per layer and no pretrained weights."""
    backbone_width: PositiveFloat = 1.0
    """Factor on the backbone's channels; at least 0.25."""
    strides: Literal["text", "untouched"] = "text"
    """text: 32x128 becomes 2x32 = 64 tokens. untouched: ImageNet's strides, 1x4 = 4 tokens."""
    pretrained: str | None = None
    """null, `imagenet`, or the path of a torchvision state dict."""
    hidden: PositiveInt = 512
    """Channels of the decoder; the backbone's are projected to it."""
    num_layers: PositiveInt = 3
    num_heads: PositiveInt = 8
    num_kv_heads: PositiveInt = 8
    """Key/value heads: num_heads (all), a divisor of it (grouped), or 1 (multi-query)."""
    feed_forward: PositiveInt = 2048
    dropout: float = Field(0.1, ge=0, lt=1)
    ctc_weight: NonNegativeFloat = 0.3
    """Weight of the CTC head's loss beside the decoder's; 0 builds no head. It makes the encoder
    learn where characters are long before the decoder's attention does."""
    decoder_weight: NonNegativeFloat = 1.0
    """Weight of the decoder's loss; 0 builds no decoder, which leaves a pure CTC model."""
    decode_with: Literal["decoder", "ctc"] = "decoder"
    """Which head reads."""
    max_chars: NonNegativeInt = 32
    """Longest text that the decoder can write."""

    @model_validator(mode="after")
    def _can_be_built(self) -> "ResNetTransformerConfig":
        weight = self.decoder_weight if self.decode_with == "decoder" else self.ctc_weight
        if not weight:
            raise ValueError(
                f"decode_with={self.decode_with} reads with a head that is not built where "
                f"{self.decode_with}_weight is 0"
            )
        require_enough_channels(self.backbone_width)
        if self.hidden % 4 or self.hidden % self.num_heads:
            raise ValueError(
                f"hidden {self.hidden} must be a multiple of num_heads {self.num_heads}, and of 4"
            )
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_heads {self.num_heads} must be a multiple of num_kv_heads {self.num_kv_heads}"
            )
        return self

    def pixels_per_column(self) -> int | None:
        """Return the pixels per column where CTC alone must spell the label."""
        if self.decode_with == "decoder":
            return None
        return horizontal_stride(text_strides(self.strides), 4)


class ResNetTransformer(RecognizerModel):
    """ResNet features as memory of an autoregressive Transformer decoder."""

    memory_positions: Tensor

    def __init__(
        self, config: ResNetTransformerConfig, num_classes: int, geometry: ImageGeometry
    ) -> None:
        super().__init__()
        self.config = config
        self.masks_padding = geometry.fit == "pad"
        self.pixels = PixelNormalization()
        self.backbone = ResNetBackbone(
            config.backbone,
            strides=text_strides(config.strides),
            width=config.backbone_width,
            weights=config.pretrained,
        )
        self.pixels_per_column = horizontal_stride(text_strides(config.strides), 4)
        self.project = nn.Conv2d(self.backbone.num_channels, config.hidden, 1)
        self.memory_norm = nn.LayerNorm(config.hidden)
        self.map_size = self.backbone.map_size(geometry.height, geometry.width)
        self.register_buffer(
            "memory_positions",
            sinusoidal_positions_2d(*self.map_size, config.hidden),
            persistent=False,
        )
        self.decoder = (
            TransformerDecoder(
                num_classes,
                config.hidden,
                num_layers=config.num_layers,
                num_heads=config.num_heads,
                num_kv_heads=config.num_kv_heads,
                feed_forward=config.feed_forward,
                dropout=config.dropout,
                max_steps=config.max_chars + 1,
            )
            if config.decoder_weight
            else None
        )
        self.ctc_head = nn.Linear(config.hidden, num_classes) if config.ctc_weight else None

    def encode(self, images: Images, content_width: Int[Tensor, " batch"]) -> Features:
        """Turn pixels into tokens, two rows by a column per 4 pixels with the `text` strides."""
        is_content = content_mask(images, content_width)
        kept = is_content if self.masks_padding else None
        feature_map = self.project(self.backbone(self.pixels(images), kept))
        _, _, height, width = feature_map.shape
        tokens = self.memory_norm(feature_map.flatten(2).transpose(1, 2))
        is_padding = ~is_content[:, :: self.pixels_per_column].repeat(1, height)  # row-major
        return Features(tokens, is_padding, (height, width))

    def loss(
        self,
        features: Features,
        targets: Targets,
        *,
        label_smoothing: float = 0.0,
        sampling_mask: Bool[Tensor, "batch steps"] | None = None,
    ) -> LossOutput:
        """Return cross-entropy of the decoder plus the weighted CTC loss.

        Scheduled sampling takes two parallel passes (arXiv:1906.04331): the first, without
        gradient, gives the predictions that the second is fed where `sampling_mask` is True.
        """
        parts: list[Tensor] = []
        correct = total = torch.zeros((), dtype=torch.long, device=targets.class_ids.device)
        if self.decoder is not None:
            logits, expected = self._decoder_logits(features, targets, sampling_mask)
            cross_entropy = _token_mean(logits, expected, label_smoothing)
            parts.append(self.config.decoder_weight * cross_entropy)
            is_token = expected != PAD
            correct = ((logits.argmax(-1) == expected) & is_token).sum()
            total = is_token.sum()
        if self.ctc_head is not None:
            ids, num_chars = targets.class_ids, targets.num_chars
            num_columns = columns_for(ids, num_chars, self._is_empty_column(features))
            ctc = ctc_losses(self._columns(features), ids, num_chars, num_columns)
            parts.append(self.config.ctc_weight * ctc)
        return LossOutput(torch.stack(parts).sum(0), correct, total)

    def decode(
        self,
        features: Features,
        *,
        max_chars: int,
        options: DecodeOptions = GREEDY,
        with_attention: bool = False,
    ) -> Readings:
        """Read with the configured head."""
        if self.config.decode_with == "ctc":
            log_probs = self.column_log_probs(features)
            return read_columns(log_probs, max_chars, options, with_frames=with_attention)
        writer = self.start_writing(features, with_attention=with_attention)
        return write(
            writer,
            batch_size=len(features.tokens),
            max_chars=min(max_chars, self._require_decoder().max_steps - 1),
            device=features.tokens.device,
            options=options,
        )

    def column_log_probs(self, features: Features) -> Float[Tensor, "batch time classes"]:
        """Return what CTC reads; padding holds nothing but blanks."""
        return blank_out(self._columns(features), self._is_empty_column(features))

    def start_writing(self, features: Features, *, with_attention: bool = False) -> CachedWriter:
        """Return the decoder, ready for the first step."""
        decoder, memory = self._require_decoder(), self._memory(features)
        return CachedWriter(decoder, memory, features.is_padding, with_attention=with_attention)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the ResNet's parameters."""
        return list(self.backbone.parameters())

    def _decoder_logits(
        self,
        features: Features,
        targets: Targets,
        sampling_mask: Bool[Tensor, "batch steps"] | None,
    ) -> tuple[Float[Tensor, "batch steps classes"], Int[Tensor, "batch steps"]]:
        decoder = self._require_decoder()
        memory = self._memory(features)
        start = torch.full_like(targets.class_ids[:, :1], SOS)
        inputs = torch.cat([start, targets.class_ids], dim=1)
        expected = torch.cat([targets.class_ids, torch.full_like(start, PAD)], dim=1)
        expected.scatter_(1, targets.num_chars[:, None], EOS)
        if sampling_mask is not None:
            with torch.no_grad():
                logits = decoder(inputs, memory, features.is_padding)
                predicted = torch.cat([start, logits[:, :-1].argmax(-1)], dim=1)
            inputs = torch.where(sampling_mask & (inputs != PAD), predicted, inputs)
        logits = decoder(inputs, memory, features.is_padding)
        return logits.float(), expected

    def _memory(self, features: Features) -> Float[Tensor, "batch tokens hidden"]:
        if features.map_size == self.map_size:
            return features.tokens + self.memory_positions
        # Sines go on to any size, and a narrower image's are the first of a wider one's.
        codes = sinusoidal_positions_2d(*features.map_size, self.config.hidden)
        return features.tokens + codes.to(features.tokens.device)

    def _columns(self, features: Features) -> Float[Tensor, "batch time classes"]:
        if self.ctc_head is None:
            raise ValueError("this model was built without a CTC head (ctc_weight is 0)")
        height, width = features.map_size
        columns = features.tokens.unflatten(1, (height, width)).mean(1)
        logits: Tensor = self.ctc_head(columns)
        return logits.float().log_softmax(-1)

    def _is_empty_column(self, features: Features) -> Bool[Tensor, "batch time"]:
        return features.is_padding[:, : features.map_size[1]]  # of the first row, as of all

    def _require_decoder(self) -> TransformerDecoder:
        if self.decoder is None:
            raise ValueError("this model was built without a decoder (decoder_weight is 0)")
        return self.decoder


def _token_mean(
    logits: Float[Tensor, "batch steps classes"],
    expected: Int[Tensor, "batch steps"],
    label_smoothing: float,
) -> Float[Tensor, " batch"]:
    losses = F.cross_entropy(
        logits.transpose(1, 2),
        expected,
        ignore_index=PAD,
        reduction="none",
        label_smoothing=label_smoothing,
    )
    return losses.sum(1) / (expected != PAD).sum(1)
