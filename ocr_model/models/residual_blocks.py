"""The blocks of ResNets (He et al. 2015, arXiv:1512.03385, 3.3 and 4.1), for padded pictures.

Their parameters have torchvision's names, so its weights fit. torchvision itself is not imported:
it takes torch's compiler along, for which every process that reads would wait.
"""

from abc import abstractmethod
from typing import ClassVar, cast

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import relu

from ocr_model.models.padding import keep_content

Stride = tuple[int, int]
"""Vertical and horizontal."""


class ResidualBlock(nn.Module):
    """Convolutions beside a shortcut."""

    expansion: ClassVar[int] = 1
    """Channels that come out, by those within."""
    last_norm: ClassVar[str]
    """Name of the normalisation behind which the shortcut is added."""
    downsample: nn.Sequential | None
    """Of the shortcut, where its size or its channels change."""

    @property
    @abstractmethod
    def strided(self) -> nn.Conv2d:
        """The convolution that has the block's stride."""

    def forward(
        self,
        features: Float[Tensor, "batch channels _height _width"],
        is_content: Bool[Tensor, "batch pixels"] | None,
        stride: int,
    ) -> Float[Tensor, "batch more_channels _lower _narrower"]:
        """Run the block, with nothing in the padding that its convolutions see.

        What the shortcut has in the padding does not matter, so it may be emptied with the
        features, whose columns are `stride` pixels wide.
        """
        shortcut = features if self.downsample is None else self.downsample(features)
        return relu(self._inner(features, is_content, stride) + shortcut, inplace=True)

    @abstractmethod
    def _inner(
        self, features: Tensor, is_content: Tensor | None, stride: int
    ) -> Float[Tensor, "batch more_channels _lower _narrower"]:
        """Run what the shortcut leads around."""

    def _shorten(self, channels: int, channels_after: int, stride: Stride) -> None:
        self.downsample = None
        if stride != (1, 1) or channels != channels_after:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, channels_after, 1, stride, bias=False),
                nn.BatchNorm2d(channels_after),
            )


class BasicBlock(ResidualBlock):
    """Two convolutions of 3x3."""

    last_norm = "bn2"

    def __init__(self, channels: int, planes: int, stride: Stride) -> None:
        """Take `channels`, give `planes`."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self._shorten(channels, planes, stride)

    @property
    def strided(self) -> nn.Conv2d:
        """The first."""
        return self.conv1

    def _inner(self, features: Tensor, is_content: Tensor | None, stride: int) -> Tensor:
        stride_after = stride * column_stride(self.strided)
        inner = relu(self.bn1(self.conv1(keep_content(features, is_content, stride))), inplace=True)
        inner = self.conv2(keep_content(inner, is_content, stride_after))
        return cast("Tensor", self.bn2(inner))


class Bottleneck(ResidualBlock):
    """A convolution of 3x3 between two of 1x1; the middle one has the stride, as torchvision's."""

    expansion = 4
    last_norm = "bn3"

    def __init__(self, channels: int, planes: int, stride: Stride) -> None:
        """Take `channels`, give four times `planes`."""
        super().__init__()
        self.conv1 = nn.Conv2d(channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, planes * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * self.expansion)
        self._shorten(channels, planes * self.expansion, stride)

    @property
    def strided(self) -> nn.Conv2d:
        """The middle one."""
        return self.conv2

    def _inner(self, features: Tensor, is_content: Tensor | None, stride: int) -> Tensor:
        inner = relu(self.bn1(self.conv1(features)), inplace=True)
        inner = self.bn2(self.conv2(keep_content(inner, is_content, stride)))
        inner = self.conv3(relu(inner, inplace=True))
        return cast("Tensor", self.bn3(inner))


def column_stride(layer: nn.Conv2d | nn.MaxPool2d) -> int:
    """Return the stride from column to column."""
    stride = layer.stride
    return int(stride[1] if isinstance(stride, tuple) else stride)
