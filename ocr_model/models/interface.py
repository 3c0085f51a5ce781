"""What every recogniser offers: `encode`, `loss`, `decode`; and what passes between them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from ocr_model.config import Config
from ocr_model.decoding.options import GREEDY, DecodeOptions
from ocr_model.decoding.readings import Readings

Images = UInt8[Tensor, "batch height width 3"]

PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)
"""ImageNet's, of RGB in [0, 1], as torchvision's weights expect."""


@dataclass
class Features:
    """The encoder's view of a batch."""

    tokens: Float[Tensor, "batch tokens hidden"]
    """Row-major over the feature map: token `y * map_width + x`."""
    is_padding: Bool[Tensor, "batch tokens"]
    """True where a token lies wholly outside the picture."""
    map_size: tuple[int, int]
    """Height and width of the feature map; their product is `tokens`."""


@dataclass
class Targets:
    """Labels of a batch, without `<SOS>` and `<EOS>`."""

    class_ids: Int[Tensor, "batch chars"]
    """Padded on the right with `<PAD>`."""
    num_chars: Int[Tensor, " batch"]


@dataclass
class LossOutput:
    """Losses of a batch, one value per sample."""

    losses: Float[Tensor, " batch"]
    """What is minimised."""
    num_correct_tokens: Int[Tensor, ""]
    """Tokens predicted right under teacher forcing (0 for models without)."""
    num_tokens: Int[Tensor, ""]


class TrainableModel(nn.Module, ABC):
    """A network that the training loop takes."""

    @abstractmethod
    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return the backbone's parameters, which may be frozen or get their own learning rate."""


class RecognizerModel(TrainableModel):
    """A network that reads one word per image."""

    @abstractmethod
    def encode(self, images: Images, content_width: Int[Tensor, " batch"]) -> Features:
        """Turn uint8 pixels into features; `content_width` is where padding begins, in pixels."""

    @abstractmethod
    def loss(
        self,
        features: Features,
        targets: Targets,
        *,
        label_smoothing: float = 0.0,
        sampling_mask: Bool[Tensor, "batch steps"] | None = None,
    ) -> LossOutput:
        """Score `targets` against `features`.

        Args:
            features: Of `encode`.
            targets: Labels.
            label_smoothing: Share of probability spread over all classes, in `[0, 1)`.
            sampling_mask: True where the decoder is fed its own prediction instead of the truth
                (scheduled sampling, arXiv:1506.03099). `steps` is chars + 1.
        """

    @abstractmethod
    def decode(
        self,
        features: Features,
        *,
        max_chars: int,
        options: DecodeOptions = GREEDY,
        with_attention: bool = False,
    ) -> Readings:
        """Read at most `max_chars` characters.

        With `with_attention` the readings have attention weights, or frames of a CTC model.
        """

    @abstractmethod
    def column_log_probs(self, features: Features) -> Float[Tensor, "batch time classes"]:
        """Return what CTC reads; padding holds nothing but blanks.

        Raises:
            ValueError: The model has no CTC head.
        """

    def forward(
        self,
        images: Images,
        content_width: Int[Tensor, " batch"],
        targets: Targets,
        *,
        label_smoothing: float = 0.0,
        sampling_mask: Bool[Tensor, "batch steps"] | None = None,
    ) -> LossOutput:
        """Encode and score: the training step, as `DistributedDataParallel` wants it."""
        features = self.encode(images, content_width)
        return self.loss(
            features, targets, label_smoothing=label_smoothing, sampling_mask=sampling_mask
        )


class PixelNormalization(nn.Module):
    """Turn uint8 NHWC into normalised NCHW, on whatever device the pixels are."""

    mean: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, std = torch.tensor(PIXEL_MEAN), torch.tensor(PIXEL_STD)
        self.register_buffer("mean", mean[:, None, None] * 255, persistent=False)
        self.register_buffer("scale", 1 / (std[:, None, None] * 255), persistent=False)

    def forward(self, images: Images) -> Float[Tensor, "batch 3 height width"]:
        """Return a channels-last float tensor; the permutation copies nothing."""
        return (images.permute(0, 3, 1, 2).float() - self.mean) * self.scale


class NamedModelConfig(Config):
    """Base of the models' settings."""

    takes_any_height: ClassVar[bool] = False
    """Whether images may be of another height than the model was built for. All take any width."""

    def pixels_per_column(self) -> int | None:
        """Return the pixels per CTC column; None where CTC need not spell the label."""
        return None

    @property
    def writes(self) -> bool:
        """Whether it reads by a decoder, character by character, not by CTC."""
        return self.pixels_per_column() is None

    def num_columns(self, width: int) -> int | None:
        """Return the CTC columns for an image of `width` pixels; None where there is no limit."""
        pixels = self.pixels_per_column()
        return None if pixels is None else -(-width // pixels)
