"""torchvision's ResNets, with the strides that text needs."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Literal, assert_never

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torchvision.models import ResNet, get_model_weights
from torchvision.models.resnet import BasicBlock, Bottleneck

from ocr_model.errors import ConfigError

ResNetName = Literal["resnet10", "resnet18", "resnet34", "resnet50"]
Stride = tuple[int, int]

_LAYOUTS: dict[ResNetName, tuple[type[BasicBlock] | type[Bottleneck], list[int]]] = {
    "resnet10": (BasicBlock, [1, 1, 1, 1]),  # not torchvision's: for small machines
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet34": (BasicBlock, [3, 4, 6, 3]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
}


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


class ResNetBackbone(ResNet):  # type: ignore[misc]  # torchvision has no types
    """A ResNet without its classifier, cut after any layer, with strides of choice.

    Strides change no weight, so ImageNet's fit whatever the strides.
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
        require_enough_channels(width)
        self._width = width  # read by _make_layer, which super().__init__ calls
        block, layout = _LAYOUTS[name]
        super().__init__(block, layout)
        self.fc = nn.Identity()  # DDP must not see unused weights
        self.num_channels = int(_STEM_CHANNELS * 2 ** (num_layers - 1) * width) * block.expansion
        if weights is not None:
            if width != 1.0 or name == "resnet10":
                raise ConfigError(f"no pretrained weights exist for {name} of width {width}")
            self._load_all(name, weights)
        self._layers = ["layer1", "layer2", "layer3", "layer4"][:num_layers]
        for unused in ["layer1", "layer2", "layer3", "layer4"][num_layers:]:
            setattr(self, unused, nn.Identity())
        for where, stride in strides.items():
            self._set_stride(where, stride)
        self._strides = [(2, 2), strides.get("maxpool", (2, 2))]
        self._strides += [strides.get(layer, (2, 2)) for layer in self._layers[1:]]

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
        features: Tensor = self.relu(self.bn1(self.conv1(keep_content(images, is_content))))
        features = self._pool(keep_content(features, is_content, 2))
        stride = 2 * _horizontal(self.maxpool)
        for layer in self._layers:
            for block in getattr(self, layer):
                features = _through(block, features, is_content, stride)
                stride *= _horizontal(_strided(block))
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
        if is_plain or not _only_reads(features):
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

    def _make_layer(
        self,
        block: type[nn.Module],
        planes: int,
        blocks: int,
        stride: int = 1,
        dilate: bool = False,
    ) -> nn.Sequential:
        channels = int(planes * self._width)
        layer: nn.Sequential = super()._make_layer(block, channels, blocks, stride, dilate)
        return layer

    def _load_all(self, name: ResNetName, weights: str) -> None:
        try:
            self.load_state_dict(_state_dict(name, weights))
        except RuntimeError as error:  # torch lists every tensor that does not fit
            listed = " ".join(str(error).split())[:300]
            raise ConfigError(f"weights {weights} are not those of {name}: {listed}") from error

    def _set_stride(self, where: str, stride: Stride) -> None:
        if where == "maxpool":
            self.maxpool.stride = stride
            return
        first = getattr(self, where)[0]
        _strided(first).stride = stride
        if first.downsample is not None:
            first.downsample[0].stride = stride


def _only_reads(features: Tensor) -> bool:
    """Say whether there may be writes in place: on a CPU, where nothing is learned or exported."""
    is_learned = torch.is_grad_enabled() or torch.compiler.is_exporting()
    return features.device.type == "cpu" and not is_learned


def _raise_to(these: Tensor, others: Tensor) -> None:
    torch.maximum(these, others, out=these)


def content_mask(
    images: UInt8[Tensor, "batch _height width 3"], content_width: Int[Tensor, " batch"]
) -> Bool[Tensor, "batch width"]:
    """Return which pixel columns hold picture, not padding."""
    return torch.arange(images.shape[2], device=images.device) < content_width[:, None]


def keep_content(
    features: Float[Tensor, "batch channels _height _width"],
    is_content: Bool[Tensor, "batch pixels"] | None,
    stride: int = 1,
) -> Float[Tensor, "batch channels _height _width"]:
    """Set to 0 what lies behind the end of each image; `stride` is pixels per column.

    On a CPU, where nothing is learned, in place: the argument is spent.
    """
    if is_content is None:
        return features
    is_kept = is_content[:, ::stride]
    if not _only_reads(features):
        # A product keeps the layout in memory, and is one pass; masked_fill took twice the time of
        # all convolutions.
        return features * is_kept[:, None, None].to(features.dtype)
    shortest = int(is_kept.sum(1).min())  # up to here there is no padding in any
    features[..., shortest:] *= is_kept[:, None, None, shortest:].to(features.dtype)
    return features


def _through(
    block: BasicBlock | Bottleneck,
    features: Float[Tensor, "batch channels _height _width"],
    is_content: Bool[Tensor, "batch pixels"] | None,
    stride: int,
) -> Float[Tensor, "batch more_channels _lower _narrower"]:
    """Run a block as torchvision does, with nothing in the padding that its convolutions see.

    What the shortcut has in the padding does not matter, so it may be emptied with the features.
    """
    stride_after = stride * _horizontal(_strided(block))
    shortcut: Tensor = features if block.downsample is None else block.downsample(features)
    if isinstance(block, Bottleneck):
        inner = keep_content(block.relu(block.bn1(block.conv1(features))), is_content, stride)
        inner = block.bn3(block.conv3(block.relu(block.bn2(block.conv2(inner)))))
    else:
        inner = block.relu(block.bn1(block.conv1(keep_content(features, is_content, stride))))
        inner = block.bn2(block.conv2(keep_content(inner, is_content, stride_after)))
    total: Tensor = block.relu(inner + shortcut)
    return total


def _strided(block: BasicBlock | Bottleneck) -> nn.Conv2d:
    convolution = block.conv2 if isinstance(block, Bottleneck) else block.conv1
    assert isinstance(convolution, nn.Conv2d)
    return convolution


def _horizontal(layer: nn.Conv2d | nn.MaxPool2d) -> int:
    stride = layer.stride
    return int(stride[1] if isinstance(stride, tuple) else stride)


def horizontal_stride(strides: dict[str, Stride], num_layers: int) -> int:
    """Return the pixels per column of the feature map."""
    product = 2 * strides.get("maxpool", (2, 2))[1]
    for layer in ["layer2", "layer3", "layer4"][: num_layers - 1]:
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
        try:
            state = get_model_weights(name).DEFAULT.get_state_dict(progress=False, check_hash=True)
        except OSError as error:
            raise ConfigError(
                f"cannot download ImageNet weights of {name} ({error}); give a local file as "
                "model.pretrained, or null to start from random weights"
            ) from error
    return {key: value for key, value in state.items() if not key.startswith("fc.")}
