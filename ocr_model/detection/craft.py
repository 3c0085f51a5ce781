"""EasyOCR's detector: its CRAFT network and weights, without the rest of EasyOCR.

Source: CRAFT (arXiv:1904.01941), 3.1; easyocr 1.7.2, `craft`, `imgproc`, `detection.test_net`.
For one image the maps are EasyOCR's. Images share a pass where EasyOCR would pad them to the same
size: more padding would change what the network sees at their borders.
"""

import threading
from collections.abc import Sequence
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from pydantic import PositiveFloat, PositiveInt
from torch import nn

from ocr_model.config import Config
from ocr_model.detection.craft_weights import find_craft, load_craft
from ocr_model.detection.maps import AnyPixels, TextDetector, TextMaps, batches_of_one_size
from ocr_model.devices import Precision, best_device, computing, precision_on, usable_device
from ocr_model.image import Pixels
from ocr_model.models.interface import PIXEL_MEAN, PIXEL_STD

_STRIDE = 32  # pixels; sides are padded to a multiple
_CELL = 2  # pixels of the network's input that a cell of the maps covers

_Canvas = UInt8[np.ndarray, "canvas_height canvas_width 3"]


class CraftConfig(Config):
    """EasyOCR's settings, with its names and defaults."""

    name: Literal["craft"] = "craft"
    weights: str | None = None
    """File of CRAFT's weights, or a folder with `craft_mlt_25k.pth` in it, as jobs/fetch_models.py
    makes it; none: EasyOCR's own folder, to which they are downloaded where they are not there."""
    canvas_size: PositiveInt = 2_560
    """Longest side, in pixels, that the network sees; larger images are scaled down to it."""
    mag_ratio: PositiveFloat = 1.0
    """What images are scaled by before; above 1, smaller characters are found, up to
    `canvas_size`."""
    batch_pixels: PositiveInt = 4_000_000
    """Images of one size share a pass up to this many pixels; a larger one goes alone. The network
    takes 600 bytes of memory for each pixel in full precision."""


DEFAULT_CRAFT = CraftConfig()


class CraftDetector(TextDetector):
    """Finds text with CRAFT. May be used by several threads at once."""

    def __init__(
        self,
        network: nn.Module,
        config: CraftConfig = DEFAULT_CRAFT,
        *,
        device: str | torch.device = "cpu",
        precision: Precision = "auto",
    ) -> None:
        """Put EasyOCR's network on `device`.

        Raises:
            ConfigError: There is no such device here.
        """
        self.config = config
        self.device = usable_device(device)
        self.dtype = precision_on(self.device, precision)
        self.network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        self._mean = 255 * torch.tensor(PIXEL_MEAN, device=self.device)
        self._std = 255 * torch.tensor(PIXEL_STD, device=self.device)
        self._lock = threading.Lock()  # two batches at once would only share the device

    @classmethod
    def load(
        cls,
        config: CraftConfig = DEFAULT_CRAFT,
        *,
        device: str | torch.device | None = None,
        precision: Precision = "auto",
    ) -> "CraftDetector":
        """Load the weights that the settings name; on a GPU where there is one, unless told.

        Raises:
            BundleError: The weights are not to be had, damaged, or of another network.
            ConfigError: There is no such device here.
        """
        network = load_craft(find_craft(config.weights))
        return cls(network, config, device=device or best_device(), precision=precision)

    def find(self, images: Sequence[AnyPixels]) -> list[TextMaps]:
        """Return the maps of images of any sizes, in their order.

        What is found in an image does not depend on the others.
        """
        fits = [_fit(image, self.config) for image in images]
        found: dict[int, TextMaps] = {}
        sizes = [fit.canvas for fit in fits]
        for numbers in batches_of_one_size(sizes, self.config.batch_pixels):
            canvases = [_canvas(images[number], fits[number]) for number in numbers]
            for number, (region, affinity) in zip(numbers, self._maps(canvases), strict=True):
                cell = _CELL / fits[number].ratio
                size = images[number].shape[:2]
                found[number] = TextMaps(region, affinity, (cell, cell), size)
        return [found[number] for number in range(len(images))]

    def _maps(
        self, canvases: Sequence[_Canvas]
    ) -> Float32[np.ndarray, "batch 2 map_height map_width"]:
        with self._lock, computing(self.device, self.dtype):
            images = torch.from_numpy(np.stack(canvases)).to(self.device)
            normal = (images.float() - self._mean) / self._std
            maps: torch.Tensor = self.network(normal.permute(0, 3, 1, 2))[0]  # channels are last
            found: np.ndarray = maps.float().permute(0, 3, 1, 2).contiguous().cpu().numpy()
            return found


class _Fit(NamedTuple):
    """How large the network sees an image, in pixels."""

    height: int
    width: int
    ratio: float

    @property
    def canvas(self) -> tuple[int, int]:
        return -(-self.height // _STRIDE) * _STRIDE, -(-self.width // _STRIDE) * _STRIDE


def _fit(image: Pixels, config: CraftConfig) -> _Fit:
    height, width = image.shape[:2]
    longest = max(height, width)
    ratio = min(config.mag_ratio * longest, config.canvas_size) / longest
    return _Fit(max(1, int(height * ratio)), max(1, int(width * ratio)), ratio)


def _canvas(image: Pixels, fit: _Fit) -> _Canvas:
    """Scale linearly and pad with black on the right and below, as EasyOCR does."""
    canvas = np.zeros((*fit.canvas, 3), np.uint8)
    canvas[: fit.height, : fit.width] = cv2.resize(image, (fit.width, fit.height))
    return canvas
