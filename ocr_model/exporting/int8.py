"""Graphs with INT8 weights and activations."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from ocr_model.bundle import BundleInfo
from ocr_model.inference.onnx_runtime import STEP_GRAPH, OnnxRuntime

_QUANTIZED = ["Conv", "MatMul", "Gemm", "Add", "Relu", "MaxPool", "Mul"]
"""Also what lies between convolutions: else each would go to fp32 and back. `Mul` empties
padding."""
_CALIBRATION: dict[str, Any] = {
    # On 8,000 rendered words, of which fp32 read 78.63 % exactly, 78.63 % were read with this, and
    # 78.41 % with the averages of the batches' extremes. The extremes themselves changed more
    # readings than this: 4.7 % of 2,000 words instead of 3.5 %.
    "CalibPercentile": 99.99,
    "CalibStridedMinMax": 1,  # batches at a time, by any method: all at once would take gigabytes
}


class _Batches(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, batches: list[dict[str, np.ndarray]]) -> None:
        self._batches = batches
        self._chosen = iter(batches)

    def __len__(self) -> int:
        return len(self._batches)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._chosen = iter(self._batches[start_index:end_index])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._chosen, None)


def quantize_graphs(
    graphs: dict[str, bytes],
    info: BundleInfo,
    batches: list[tuple[np.ndarray, np.ndarray]],
) -> dict[str, bytes]:
    """Quantise graphs: that of the images by words, that of a decoder's step by its weights.

    Args:
        graphs: In fp32, by name.
        info: Of the bundle.
        batches: Images and widths of their content.
    """
    runtime = OnnxRuntime(info, graphs)
    feeds = [runtime.feeds(images, widths) for images, widths in batches]
    return {
        name: quantize_weights(graph) if name == STEP_GRAPH else quantize_by_words(graph, feeds)
        for name, graph in graphs.items()
    }


def quantize_by_words(graph: bytes, batches: list[dict[str, np.ndarray]]) -> bytes:
    """Return a graph of images with weights per channel and activations in 8 bits.

    The range of each activation is the one seen on `batches`, the feeds of the graph.
    """
    with TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "int8.onnx"
        quantize_static(
            onnx.load_from_string(graph),
            target,
            _Batches(batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_QUANTIZED,
            per_channel=True,
            activation_type=QuantType.QUInt8,  # signed ones are twice as slow on x86
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options=_CALIBRATION,
        )
        return target.read_bytes()


def quantize_weights(graph: bytes) -> bytes:
    """Return a graph with weights in 8 bits, whose activations are scaled as they come."""
    with TemporaryDirectory() as folder, _quiet():
        target = Path(folder) / "int8.onnx"
        quantize_dynamic(
            onnx.load_from_string(graph),
            target,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            weight_type=QuantType.QInt8,
        )
        return target.read_bytes()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what onnxruntime prints, and its advice to fold what the export has folded."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logging.root.setLevel(level)
