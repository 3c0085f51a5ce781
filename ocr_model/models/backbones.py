"""ResNets, with the strides that text needs."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Literal, assert_never

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import relu

from ocr_model.errors import ConfigError
from ocr_model.models.padding import keep_content, may_write
from ocr_model.models.residual_blocks import BasicBlock, Bottleneck, Stride, column_stride

ResNetName = Literal["resnet10", "resnet18", "resnet34", "resnet50"]

_LAYOUTS: dict[ResNetName, tuple[type[BasicBlock] | type[Bottleneck], list[int]]] = {
    "resnet10": (BasicBlock, [1, 1, 1, 1]),  # nobody's: for small machines
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
}
_LAYERS = ("layer1", "layer2", "layer3", "layer4")
_STEM_CHANNELS = 64
_FEWEST_CHANNELS = 16


def require_enough_channels(width: float) -> None:
    """Refuse layers that this torch computes wrongly.

    Seen with torch 2.15 on a CPU, where oneDNN computes: with a width of 0.125, which makes layers
    of 8 channels, the backward pass over batches of changing size corrupts native memory.

    Raises:
        ConfigError: A layer would have fewer channels.
    """
    channels = int(_STEM_CHANNELS * width)
    if channels < _FEWEST_CHANNELS:
        raise ConfigError(
            f"backbone width {width} makes layers of {channels} channels, at least "
            f"{_FEWEST_CHANNELS} (width {_FEWEST_CHANNELS / _STEM_CHANNELS}) are needed: with 8, "
            "training corrupted memory in torch's oneDNN kernels"
        )


_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes of a number


class ResNetBackbone(nn.Module):
    """A ResNet without its classifier, cut after any layer, with strides of choice.

    Its parameters are named as torchvision's. Strides change no weight, so ImageNet's fit whatever
    the strides.
    """

    def __init__(
        self,
        name: ResNetName,
        *,
        strides: dict[str, Stride],
        width: float = 1.0,
        num_layers: int = 4,
        weights: str | None = None,
    ) -> None:
        """Build the network.

        Args:
            name: Which ResNet.
            strides: New (vertical, horizontal) strides of `maxpool`, `layer2`, `layer3`,
                `layer4`; 2 in both where not named. The stem's convolution keeps its 2.
            width: Factor on the channels of all layers.
            num_layers: How many of the four layers are kept.
            weights: None for random ones, `imagenet` for torchvision's (downloaded once), or the
                path of a state dict of torchvision's form.

        Raises:
            ConfigError: The layers would be too narrow, or the weights do not fit.
        """
        super().__init__()
        require_enough_channels(width)
        block, num_blocks = _LAYOUTS[name]
        self.conv1 = nn.Conv2d(3, _STEM_CHANNELS, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM_CHANNELS)
        self.maxpool = nn.MaxPool2d(3, strides.get("maxpool", (2, 2)), 1)
        self._strides: list[Stride] = [(2, 2), strides.get("maxpool", (2, 2))]
        self._layers = _LAYERS[:num_layers]
        assert strides.keys() <= {"maxpool", *self._layers[1:]}, strides
        self.num_channels = _STEM_CHANNELS
        for number, layer in enumerate(self._layers):
            stride = strides.get(layer, (2, 2)) if number else (1, 1)
            planes = int(_STEM_CHANNELS * 2**number * width)
            setattr(self, layer, self._layer(block, planes, num_blocks[number], stride))
            self._strides.append(stride)
        self.apply(_initialize)
        if weights is not None:
            if width != 1.0 or name == "resnet10":
                raise ConfigError(f"no pretrained weights exist for {name} of width {width}")
            self._load(name, weights)

    def forward(
        self,
        images: Float[Tensor, "batch 3 height width"],
        is_content: Bool[Tensor, "batch width"] | None = None,
    ) -> Float[Tensor, "batch channels map_height map_width"]:
        """Return the feature map of the last kept layer.

        With `is_content`, False where an image is padded on the right, the padding is 0 wherever a
        convolution looks further than its own column: an image then gives the same features
        however much it is padded. Behind its end the map holds anything.
        """
        features = relu(self.bn1(self.conv1(keep_content(images, is_content))), inplace=True)
        features = self._pool(keep_content(features, is_content, 2))
        stride = 2 * column_stride(self.maxpool)
        for layer in self._layers:
            for block in getattr(self, layer):
                features = block(features, is_content, stride)
                stride *= column_stride(block.strided)
        return features

    def _pool(
        self, features: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch channels _height _width"]:
        """Take maxima over 3x3, as torchvision does; where rows alone are halved, faster on a CPU.

        In bf16 in 0.12 ms instead of 0.71, of 18 pictures of 112 columns. Not in exports: other
        runtimes have no fast way to write into slices.
        """
        pooled: Tensor
        is_plain = self.maxpool.stride != (2, 1) or features.shape[2] % 2
        if is_plain or not may_write(features):
            pooled = self.maxpool(features)
            return pooled
        # Behind a ReLU nothing is negative (but some NaN, which are lost), and there bits compare
        # as whole numbers do.
        bits = features.view(_BITS[features.element_size()])
        upper, lower = bits[:, :, 0::2], bits[:, :, 1::2]
        rows = torch.maximum(upper, lower)
        _raise_to(rows[:, :, 1:], lower[:, :, :-1])
        highest = rows.clone()
        _raise_to(highest[..., 1:], rows[..., :-1])
        _raise_to(highest[..., :-1], rows[..., 1:])
        return highest.view(features.dtype)

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of the feature map for an image of this size."""
        for vertical, horizontal in self._strides:
            height, width = -(-height // vertical), -(-width // horizontal)
        return height, width

    def _layer(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        planes: int,
        num_blocks: int,
        stride: Stride,
    ) -> nn.Sequential:
        blocks = nn.Sequential()
        for number in range(num_blocks):
            blocks.append(block(self.num_channels, planes, (1, 1) if number else stride))
            self.num_channels = planes * block.expansion
        return blocks

    def _load(self, name: ResNetName, weights: str) -> None:
        """Take the weights of the layers that are kept; the others must be those of `name` too."""
        state = _state_dict(name, weights)
        whole = self if len(self._layers) == len(_LAYERS) else ResNetBackbone(name, strides={})
        try:
            whole.load_state_dict(state)
        except RuntimeError as error:  # torch lists every tensor that does not fit
            listed = " ".join(str(error).split())[:300]
            raise ConfigError(f"weights {weights} are not those of {name}: {listed}") from error
        self.load_state_dict({key: state[key] for key in self.state_dict()})


def _initialize(module: nn.Module) -> None:
    """Begin as He et al. 2015 (arXiv:1502.01852, 2.2), by what goes out of a layer."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _raise_to(these: Tensor, others: Tensor) -> None:
    torch.maximum(these, others, out=these)


def horizontal_stride(strides: dict[str, Stride], num_layers: int) -> int:
    """Return the pixels per column of the feature map."""
    product = 2 * strides.get("maxpool", (2, 2))[1]
    for layer in _LAYERS[1:num_layers]:
        product *= strides.get(layer, (2, 2))[1]
    return product


def text_strides(preset: Literal["text", "untouched"]) -> dict[str, Stride]:
    """Return named stride presets.

    `text` keeps a column every 4 pixels: 32x128 becomes 2x32 (ABINet and MASTER keep as many);
    `untouched` is ImageNet's: 1x4.
    """
    match preset:
        case "text":
            return {"maxpool": (2, 1), "layer2": (2, 2), "layer3": (2, 1), "layer4": (1, 1)}
        case "untouched":
            return {}
        case _:
            assert_never(preset)


def _state_dict(name: ResNetName, weights: str) -> dict[str, Tensor]:
    if weights != "imagenet":
        try:
            state: dict[str, Tensor] = torch.load(Path(weights).expanduser(), weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
            raise ConfigError(f"cannot read pretrained weights {weights}: {error}") from error
    else:
        from torchvision.models import get_model_weights  # noqa: PLC0415  # see residual_blocks.py

        try:
            state = get_model_weights(name).DEFAULT.get_state_dict(progress=False, check_hash=True)
        except OSError as error:
            raise ConfigError(
                f"cannot download ImageNet weights of {name} ({error}); give a local file as "
                "model.pretrained, or null to start from random weights"
            ) from error
    return {key: value for key, value in state.items() if not key.startswith("fc.")}
