"""`Recognizer`: pictures of words in, texts with confidences out."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from ocr_model.bundle import Bundle, load_bundle
from ocr_model.decoding.readings import Prediction, to_predictions
from ocr_model.errors import ConfigError
from ocr_model.image import ImageInput, decode_image, fit_image


class Recognizer:
    """Reads words with a bundle."""

    def __init__(self, bundle: Bundle, *, device: str | torch.device = "cpu") -> None:
        """Put the bundle's model on `device`.

        Raises:
            ConfigError: There is no such device here.
        """
        self.info = bundle.info
        self.charset = bundle.charset
        self.device = _usable(device)
        self._model = bundle.model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it

    @classmethod
    def load(cls, path: str | Path, *, device: str | torch.device | None = None) -> "Recognizer":
        """Load a bundle; on a GPU where there is one, unless told.

        Raises:
            BundleError: The folder is incomplete, altered or of another kind.
            ConfigError: There is no such device here.
        """
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(load_bundle(path), device=device)

    def read(self, images: Sequence[ImageInput], *, batch_size: int = 64) -> list[Prediction]:
        """Read words, in their order.

        Args:
            images: Encoded bytes, RGB or grey arrays, or Pillow images, of any size.
            batch_size: Images that go through the network at a time.

        Raises:
            ImageError: One of them is not a usable picture.
            TypeError: `images` is one picture, not a list.
        """
        given: object = images  # bytes are a sequence too, of ints
        is_picture = isinstance(given, np.ndarray) and given.ndim != 4
        if is_picture or isinstance(given, bytes | bytearray | memoryview | str | Image.Image):
            raise TypeError(f"read takes a list of images, got one {type(given).__name__}")
        predictions: list[Prediction] = []
        for start in range(0, len(images), batch_size):
            fitted = [
                fit_image(decode_image(image), self.info.geometry)
                for image in images[start : start + batch_size]
            ]
            pixels = np.stack([image for image, _ in fitted])
            predictions += self.read_fitted(pixels, np.array([width for _, width in fitted]))
        return predictions

    @torch.inference_mode()
    def read_fitted(
        self, images: UInt8[np.ndarray, "batch height width 3"], content_width: np.ndarray
    ) -> list[Prediction]:
        """Read one batch that `fit_image` has brought to the bundle's geometry."""
        features = self._model.encode(
            torch.tensor(images, device=self.device),
            torch.tensor(content_width, device=self.device),
        )
        readings = self._model.decode(features, max_chars=self.info.max_chars)
        return to_predictions(readings, self.charset)


def _usable(wanted: str | torch.device) -> torch.device:
    try:
        device = torch.device(wanted)
        torch.zeros(1, device=device).cpu()  # a name says nothing: the device must also compute
    except (RuntimeError, AssertionError) as error:  # the latter of a torch built without CUDA
        found = ["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"device {str(wanted)!r} cannot be used here; there is {', '.join(found)} ({reason})"
        ) from error
    return device
