"""`CompactDetector`: the embedded text detector."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from pydantic import Field, PositiveFloat, PositiveInt

from ocr_model.config import Config
from ocr_model.detection.boxes import may_have_large_words
from ocr_model.detection.bundle import DetectorBundle, load_detector_bundle
from ocr_model.detection.maps import AnyPixels, TextDetector, TextMaps, batches_of_one_size
from ocr_model.detection.network import CELL, STRIDE
from ocr_model.devices import Precision, best_device, computing, precision_on, usable_device
from ocr_model.image import Pixels, resize_image


class CompactDetectorConfig(Config):
    """How large the network sees images, and how many at a time."""

    max_side_pixels: int = Field(1600, ge=STRIDE)
    """Longest side; larger images are scaled down. With it, memory and time are bounded."""
    magnification: PositiveFloat = 1.5
    """Factor on the size of images, before that bound. Scans are small: on 30 FUNSD pages of 1000
    pixels the first embedded weights had an H-mean of 0.851 with 1.5, and 0.835 with 1."""
    batch_pixels: int = Field(4_000_000, ge=1)
    """Pixels that go through the network at a time; a larger image goes alone."""
    max_looks: PositiveInt = 3
    """How often an image is seen, each time at half the size: always at the first and the last,
    and between as long as it has words so large that the network may see their parts alone. On 40
    street views recall is 0.54 with 1, and 0.68 with 3; on 30 FUNSD pages the H-mean is the same.
    """


DEFAULT_SETTINGS = CompactDetectorConfig()


class CompactDetector(TextDetector):
    """Finds text with a bundle. May be used by several threads at once."""

    def __init__(
        self,
        bundle: DetectorBundle,
        settings: CompactDetectorConfig = DEFAULT_SETTINGS,
        *,
        device: str | torch.device = "cpu",
        precision: Precision = "auto",
    ) -> None:
        """Put the network on `device`.

        Raises:
            ConfigError: There is no such device here.
        """
        self.info, self.settings = bundle.info, settings
        self.boxes = bundle.info.boxes
        self.device = usable_device(device)
        self.dtype = precision_on(self.device, precision)
        self._network = bundle.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        self._lock = threading.Lock()  # two batches at once would only share the device

    def find(self, images: Sequence[AnyPixels]) -> list[TextMaps]:
        """Return the maps of images of any sizes, in their order.

        Images that are equally large once scaled and padded share a batch, so what is found in one
        does not depend on the others.
        """
        return self._look(images, 0)

    def _look(self, images: Sequence[AnyPixels], halvings: int) -> list[TextMaps]:
        maps = self._maps(images, halvings)
        last = self.settings.max_looks - 1
        if halvings == last:
            return maps
        is_large = [may_have_large_words(found, self.boxes) for found in maps]
        nexts = [halvings + 1 if large else last for large in is_large]
        for following in set(nexts):
            numbers = [number for number, its in enumerate(nexts) if its == following]
            smaller = self._look([images[number] for number in numbers], following)
            for number, found in zip(numbers, smaller, strict=True):
                maps[number] = replace(maps[number], smaller=found)
        return maps

    def _maps(self, images: Sequence[AnyPixels], halvings: int) -> list[TextMaps]:
        fitted = [fit_page(image, self.settings, halvings) for image in images]
        maps: dict[int, Float32[np.ndarray, "2 map_height map_width"]] = {}
        sizes = [page.shape[:2] for page in fitted]
        for numbers in batches_of_one_size(sizes, self.settings.batch_pixels):
            found = self._compute(np.stack([fitted[number] for number in numbers]))
            maps |= dict(zip(numbers, found, strict=True))
        return [
            self._describe(image, maps[number], halvings) for number, image in enumerate(images)
        ]

    def _compute(
        self, pages: UInt8[np.ndarray, "batch height width 3"]
    ) -> Float32[np.ndarray, "batch 2 map_height map_width"]:
        with self._lock, computing(self.device, self.dtype):
            logits = self._network(torch.from_numpy(pages).to(self.device))
            heat: np.ndarray = logits.float().sigmoid().cpu().numpy()
        return heat

    def _describe(
        self, image: Pixels, heat: Float32[np.ndarray, "2 map_height map_width"], halvings: int
    ) -> TextMaps:
        height, width = image.shape[:2]
        seen_height, seen_width = seen_size(height, width, self.settings, halvings)
        rows, columns = -(-seen_height // CELL), -(-seen_width // CELL)
        region, affinity = np.ascontiguousarray(heat[:, :rows, :columns])
        pixels_per_cell = (CELL * width / seen_width, CELL * height / seen_height)
        return TextMaps(region, affinity, pixels_per_cell, (height, width))


def load_detector(
    path: str | Path,
    settings: CompactDetectorConfig = DEFAULT_SETTINGS,
    *,
    device: str | torch.device | None = None,
    precision: Precision = "auto",
) -> CompactDetector:
    """Load a detector's bundle; on a GPU where there is one, unless told.

    Raises:
        BundleError: The folder is incomplete, altered or of another kind.
        ConfigError: There is no such device here.
    """
    bundle = load_detector_bundle(path)
    return CompactDetector(bundle, settings, device=device or best_device(), precision=precision)


def seen_size(
    height: int, width: int, settings: CompactDetectorConfig, halvings: int = 0
) -> tuple[int, int]:
    """Return the height and width, in pixels, in which the network sees an image of this size."""
    scale = min(settings.magnification, settings.max_side_pixels / max(height, width))
    scale /= 2**halvings
    return max(1, round(height * scale)), max(1, round(width * scale))


def fit_page(
    image: Pixels, settings: CompactDetectorConfig, halvings: int = 0
) -> UInt8[np.ndarray, "padded_height padded_width 3"]:
    """Scale an image and repeat its last row and column until `STRIDE` divides its sides.

    Padding of one colour would draw a line where the image ends.
    """
    height, width = seen_size(image.shape[0], image.shape[1], settings, halvings)
    scaled = image if image.shape[:2] == (height, width) else resize_image(image, height, width)
    below, right = -height % STRIDE, -width % STRIDE
    return cv2.copyMakeBorder(scaled, 0, below, 0, right, cv2.BORDER_REPLICATE)
