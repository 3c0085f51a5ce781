"""What computes: torch with a bundle's own or its half-precision weights, or exported graphs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, assert_never, get_args, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from torch.nn import functional as F

from ocr_model.bundle import Bundle, BundleInfo, load_bundle
from ocr_model.charset import Charset
from ocr_model.decoding.options import DecodeOptions
from ocr_model.decoding.readings import Readings
from ocr_model.devices import Precision, best_device, computing, precision_on, usable_device
from ocr_model.errors import ConfigError
from ocr_model.exports import ExportKind, Kind, load_export, load_half
from ocr_model.image import Pixels, padded_width
from ocr_model.models.attention_maps import AttentionMaps, read_with_attention
from ocr_model.models.folding import cast_convolutions, folded
from ocr_model.models.interface import Features, RecognizerModel

_CPU_PIXELS = 65_536
"""Of pictures that a CPU encodes at a time, so that they stay in its caches: the compact model
takes 0.62 ms for each of 16 pictures of 112 columns, 0.71 of 32 and 0.76 of 128 (one thread of a
Xeon, bf16). The decoder, whose steps cost much whatever is in them, takes all of a batch."""


@runtime_checkable
class Runtime(Protocol):
    """A model that reads batches of prepared images."""

    @property
    def info(self) -> BundleInfo:
        """The bundle's facts."""

    @property
    def charset(self) -> Charset:
        """The vocabulary."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def read(
        self,
        images: UInt8[np.ndarray, "batch height width 3"],
        content_width: np.ndarray,
        *,
        max_chars: int,
        options: DecodeOptions,
    ) -> Readings:
        """Read images padded on the right; `content_width` is theirs without it, in pixels."""


class TorchRuntime:
    """Runs a bundle's model on any device; `model` computes within `computing` alone."""

    def __init__(
        self, bundle: Bundle, *, device: str | torch.device = "cpu", precision: Precision = "auto"
    ) -> None:
        """Put the model on `device`.

        Raises:
            ConfigError: There is no such device here.
        """
        self.info = bundle.info
        self.charset = bundle.charset
        self.device = usable_device(device)
        self.dtype = precision_on(self.device, precision)
        self.model: RecognizerModel = cast_convolutions(folded(bundle.model), self.dtype).to(
            self.device, memory_format=torch.channels_last
        )  # type: ignore[call-overload]  # torch's stub lacks it

    def read(
        self,
        images: UInt8[np.ndarray, "batch height width 3"],
        content_width: np.ndarray,
        *,
        max_chars: int,
        options: DecodeOptions,
    ) -> Readings:
        """Read as `Runtime` says; the readings are on the device."""
        features = self.encode(images, content_width)
        with self.computing():
            readings: Readings = self.model.decode(features, max_chars=max_chars, options=options)
        return readings

    def encode(
        self, images: UInt8[np.ndarray, "batch height width 3"], content_width: np.ndarray
    ) -> Features:
        """Return what decoding takes, on the device; fastest where pictures are sorted by width."""
        with self.computing():
            return _joined(
                [
                    self.model.encode(
                        self._to_device(torch.from_numpy(some)),
                        self._to_device(torch.from_numpy(own)),
                    )
                    for some, own in self._portions(images, content_width)
                ]
            )

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Run what is within in the runtime's precision, without gradients."""
        with computing(self.device, self.dtype):
            yield

    def attend(self, image: Pixels, *, max_chars: int, options: DecodeOptions) -> AttentionMaps:
        """Read one upright word and keep what the model looked at."""
        with self.computing():
            return read_with_attention(
                self.model,
                self.charset,
                self.info.geometry,
                image,
                max_chars=max_chars,
                options=options,
            )

    def _portions(
        self, images: UInt8[np.ndarray, "batch height width 3"], content_width: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Split a batch into what is encoded at a time, without padding that none of it needs."""
        if self.device.type != "cpu":
            yield images, content_width
            return
        start = 0
        while start < len(images):
            width = padded_width(int(content_width[start:].max()))
            end = start + max(1, _CPU_PIXELS // (images.shape[1] * width))
            yield np.ascontiguousarray(images[start:end, :, :width]), content_width[start:end]
            start = end

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)


def _joined(features: list[Features]) -> Features:
    """Put batches together, padded on the right to the widest."""
    if len(features) == 1:
        return features[0]
    height, width = features[0].map_size[0], max(each.map_size[1] for each in features)
    tokens, is_padding = [], []
    for each in features:
        missing = width - each.map_size[1]
        rows = each.tokens.unflatten(1, each.map_size)
        tokens.append(F.pad(rows, (0, 0, 0, missing)).flatten(1, 2))
        columns = each.is_padding.unflatten(1, each.map_size)
        is_padding.append(F.pad(columns, (0, missing), value=True).flatten(1, 2))
    return Features(torch.cat(tokens), torch.cat(is_padding), (height, width))


def load_runtime(
    path: str | Path,
    kind: Kind,
    *,
    device: str | torch.device | None = None,
    precision: Precision = "auto",
) -> Runtime:
    """Load one kind of a bundle; where `device` is None, on a GPU if there is one and it can.

    Raises:
        BundleError: The bundle or this kind of it is missing, incomplete or altered.
        ConfigError: There is no such device here, a setting is not of this kind, or onnxruntime
            is not installed.
    """
    if kind not in get_args(Kind):
        raise ConfigError(f"kind={kind!r} is not one of {', '.join(get_args(Kind))}")
    match kind:
        case "torch" | "half":
            bundle = load_bundle(path) if kind == "torch" else load_half(path)
            wanted = best_device() if device is None else device
            return TorchRuntime(bundle, device=wanted, precision=precision)
        case "onnx" | "int8":
            if str(device) not in ("None", "cpu") or precision != "auto":
                raise ConfigError(
                    f"kind={kind} computes on the CPU in its own precision, got device={device} "
                    f"and precision={precision}: leave both out, or take kind=torch or half"
                )
            return _load_graphs(path, kind)
        case _:
            assert_never(kind)


def _load_graphs(path: str | Path, kind: ExportKind) -> Runtime:
    try:
        from ocr_model.inference.onnx_runtime import OnnxRuntime  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ConfigError(
            f"kind={kind} needs onnxruntime, which is not installed ({error}): "
            "pip install 'ocr-on-ray[export]'"
        ) from error
    export = load_export(path, kind)
    return OnnxRuntime(export.bundle_info, export.files)
