"""Reads by exported graphs, on the CPU; needs onnxruntime, of the extra `export`."""

import numpy as np
import onnxruntime
import torch
from jaxtyping import Bool, Float, Int, UInt8
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
)
from onnxruntime.capi.onnxruntime_pybind11_state import (
    NotImplemented as NotInThisVersion,
)
from torch import Tensor

from ocr_model.bundle import BundleInfo
from ocr_model.charset import Charset
from ocr_model.decoding.options import DecodeOptions
from ocr_model.decoding.readings import Readings
from ocr_model.decoding.search import read_columns, write
from ocr_model.errors import BundleError
from ocr_model.image import PADDING_VALUE, WIDTH_STEP
from ocr_model.models.resnet_transformer import ResNetTransformerConfig

COLUMNS_GRAPH = "columns.onnx"
"""Images to log probabilities of CTC."""
ENCODE_GRAPH = "encode.onnx"
"""Images to keys and values for the decoder."""
STEP_GRAPH = "step.onnx"
"""One character further: the newest characters and a cache to logits and a longer cache."""

_UNRUNNABLE = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotInThisVersion)
"""What a graph raises that needs a newer onnxruntime."""

FloatArray = Float[np.ndarray, "..."]


class OnnxRuntime:
    """Runs exported graphs with as many threads as torch has."""

    def __init__(self, info: BundleInfo, graphs: dict[str, bytes]) -> None:
        """Take verified graphs: that of a CTC model, or those of a decoder.

        Raises:
            BundleError: This onnxruntime cannot run them.
        """
        self.info = info
        self.charset = Charset(info.charset)
        self.device = torch.device("cpu")
        self._sessions = {name: _session(name, graph) for name, graph in graphs.items()}

    def read(
        self,
        images: UInt8[np.ndarray, "batch height width 3"],
        content_width: np.ndarray,
        *,
        max_chars: int,
        options: DecodeOptions,
    ) -> Readings:
        """Read as `Runtime` says."""
        feeds = self.feeds(images, content_width)
        if COLUMNS_GRAPH in self._sessions:
            (log_probs,) = self._sessions[COLUMNS_GRAPH].run(None, feeds)
            return read_columns(torch.from_numpy(log_probs), max_chars, options)
        is_visible, *memory = self._sessions[ENCODE_GRAPH].run(None, feeds)
        writer = GraphWriter(self._sessions[STEP_GRAPH], is_visible, memory)
        assert isinstance(self.info.model, ResNetTransformerConfig)
        return write(
            writer,
            batch_size=len(images),
            max_chars=min(max_chars, self.info.model.max_chars),
            device=self.device,
            options=options,
        )

    def feeds(
        self, images: UInt8[np.ndarray, "batch height width 3"], content_width: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return what the graph of the images takes."""
        if self.info.geometry.fit == "pad":
            images = _widened(images)
        return {"images": images, "content_width": content_width.astype(np.int64)}


class GraphWriter:
    """Writes by a graph of one step whose cache grows: texts are short beside their longest."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        is_visible: Bool[np.ndarray, "batch 1 1 tokens"],
        memory: list[FloatArray],
    ) -> None:
        """Begin with the keys and values of the images, per layer, and which tokens have any."""
        self._session = session
        self._fixed = {"is_visible": is_visible}
        self._fixed |= {f"memory_{i}": array for i, array in enumerate(memory)}
        self._past = [array[:, :, :0] for array in memory]

    def step(
        self, newest: Int[Tensor, "rows 1"], position: int
    ) -> tuple[Float[Tensor, "rows classes"], None]:
        """Take the newest characters in; graphs give no attention."""
        past = {f"past_{i}": array for i, array in enumerate(self._past)}
        feeds = {"newest": newest.numpy(), "position": np.array([position])}
        logits, *self._past = self._session.run(None, {**feeds, **self._fixed, **past})
        return torch.from_numpy(logits), None

    def select(self, rows: Int[Tensor, " kept"]) -> None:
        """Go on with these rows only."""
        kept = rows.numpy()
        self._fixed = {name: array[kept] for name, array in self._fixed.items()}
        self._past = [array[kept] for array in self._past]


def _session(name: str, graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; what can go wrong was checked at the export
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except _UNRUNNABLE as error:
        reason = str(error).partition("\n")[0]
        raise BundleError(
            f"onnxruntime {onnxruntime.__version__} cannot run {name} ({reason}): use that of the "
            "export, or export anew with this one by jobs/export.py"
        ) from error


def _widened(
    images: UInt8[np.ndarray, "batch height width 3"],
) -> UInt8[np.ndarray, "batch height wider 3"]:
    missing = -images.shape[2] % WIDTH_STEP
    if not missing:
        return images
    return np.pad(images, ((0, 0), (0, 0), (0, missing), (0, 0)), constant_values=PADDING_VALUE)
