"""The embedded detector: a small network with CRAFT's maps."""

from itertools import pairwise
from typing import Annotated

import torch
from jaxtyping import Float, UInt8
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from ocr_model.config import Config
from ocr_model.models.interface import PIXEL_MEAN, PIXEL_STD, TrainableModel

STRIDE = 32
"""Pixels, along each side, of a cell of the coarsest features; sides are padded to its multiple."""
CELL = 2
"""Pixels, along each side, that one cell of the maps covers."""
_UPSAMPLING = 2

Channels = Annotated[int, Field(ge=16)]
"""Of a layer; with 8, training corrupts memory (see models/backbones.py)."""


class CompactNetworkConfig(Config):
    """The network's size; the default has 2.4 M parameters.

    Plain convolutions: at 1/4 and 1/8 depthwise ones with twice the channels in between take as
    long in training and learn less. The first layer goes to 1/4 at once: one of 16 channels at 1/2
    takes five times as long (19 ms against 4 for a megapixel, on one core).
    """

    channels: tuple[Channels, Channels, Channels, Channels] = (32, 64, 128, 160)
    """At 1/4, 1/8, 1/16 and 1/32 of the resolution."""
    num_blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (1, 2, 2, 2)
    """Of two convolutions each, at these resolutions."""


class _Convolution(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class _Block(nn.Module):
    """Two convolutions and a way around them (He et al. 2016, arXiv:1512.03385)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Convolution(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Keep the shape."""
        return torch.relu(features + self.norm(self.second(self.first(features))))


class CompactNetwork(TrainableModel):
    """Encoder to 1/32, decoder to 1/4 that adds what the encoder saw there, maps at 1/2.

    Source: ours, of U-Net's shape (Ronneberger et al. 2015, arXiv:1505.04597); the last step up is
    a sub-pixel one (Shi et al. 2016, arXiv:1609.05158).
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: CompactNetworkConfig) -> None:
        super().__init__()
        channels = config.channels
        self.stem = _Convolution(3, channels[0], size=7, stride=4)
        self.stages = nn.ModuleList()
        inputs = channels[0]
        for number, (outputs, num_blocks) in enumerate(
            zip(channels, config.num_blocks, strict=True)
        ):
            down = [_Convolution(inputs, outputs, stride=2)] if number else []
            self.stages.append(nn.Sequential(*down, *(_Block(outputs) for _ in range(num_blocks))))
            inputs = outputs
        self.narrow = nn.ModuleList(
            _Convolution(below, above, size=1) for above, below in pairwise(channels)
        )
        self.merge = nn.ModuleList(_Block(above) for above in channels[:-1])
        # A linear layer, as a convolution of so few channels is not safe in oneDNN's training.
        self.head = nn.Linear(channels[0], 2 * _UPSAMPLING**2)
        nn.init.constant_(self.head.bias, -3.0)  # most of a picture is not text
        self.register_buffer("mean", 255 * torch.tensor(PIXEL_MEAN), persistent=False)
        self.register_buffer("scale", 1 / (255 * torch.tensor(PIXEL_STD)), persistent=False)

    def encoder_parameters(self) -> list[nn.Parameter]:
        """Return those of the stem and the stages."""
        return [*self.stem.parameters(), *self.stages.parameters()]

    def forward(
        self, images: UInt8[Tensor, "batch height width 3"]
    ) -> Float[Tensor, "batch 2 map_height map_width"]:
        """Return logits of the region and the affinity map; sides must be multiples of `STRIDE`."""
        pixels = (images - self.mean) * self.scale
        features = self.stem(pixels.permute(0, 3, 1, 2))  # channels last in memory, as it was
        seen = []
        for stage in self.stages:
            features = stage(features)
            seen.append(features)
        features = seen.pop()
        for narrow, merge in zip(reversed(self.narrow), reversed(self.merge), strict=True):
            raised = nn.functional.interpolate(narrow(features), scale_factor=2, mode="nearest")
            features = merge(seen.pop() + raised)
        cells: Tensor = self.head(features.permute(0, 2, 3, 1))
        return nn.functional.pixel_shuffle(cells.permute(0, 3, 1, 2), _UPSAMPLING)
