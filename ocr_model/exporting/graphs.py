"""A bundle's model as ONNX graphs: one for CTC; for a decoder, the encoder and one step."""

import copy
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jaxtyping
import onnx
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.export import Dim, export

from ocr_model.bundle import Bundle
from ocr_model.errors import ConfigError, ExportError
from ocr_model.image import WIDTH_STEP, ImageGeometry, padded_width
from ocr_model.inference.onnx_runtime import COLUMNS_GRAPH, ENCODE_GRAPH, STEP_GRAPH
from ocr_model.models.attention import (
    DecoderLayer,
    KeyValue,
    TransformerDecoder,
    sinusoidal_positions_2d,
)
from ocr_model.models.crnn import CRNN
from ocr_model.models.interface import Images
from ocr_model.models.resnet_transformer import ResNetTransformer

_EXAMPLE_ROWS = 3  # any that is neither 0 nor 1, for which torch.export would make special graphs
_EXAMPLE_PAST = 5


def build_graphs(bundle: Bundle) -> dict[str, bytes]:
    """Return the graphs of a model by name; batch size and, of padded images, width are free.

    Raises:
        ConfigError: There is no graph for this model.
    """
    model, geometry = copy.deepcopy(bundle.model), bundle.info.geometry
    match model:
        case CRNN():
            if geometry.fit == "pad":
                raise ConfigError(
                    "crnn with image.fit=pad recurs over columns packed by length, for which there "
                    "is no ONNX graph; kinds=[half] exports it, and crnn with image.fit=stretch "
                    "exports to all kinds"
                )
            return {COLUMNS_GRAPH: _image_graph(_Columns(model), geometry)}
        case ResNetTransformer():
            if model.config.decode_with == "ctc":
                return {COLUMNS_GRAPH: _image_graph(_Columns(model), geometry)}
            return {
                ENCODE_GRAPH: _image_graph(_Encode(model, geometry), geometry),
                STEP_GRAPH: _step_graph(model),
            }
        case _:
            raise ConfigError(f"there is no ONNX graph for {type(model).__name__}")


class _Columns(nn.Module):
    def __init__(self, model: CRNN | ResNetTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, images: Images, content_width: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch time classes"]:
        return self.model.column_log_probs(self.model.encode(images, content_width))


class _Encode(nn.Module):
    """Keys and values of all layers, computed once."""

    positions: Tensor

    def __init__(self, model: ResNetTransformer, geometry: ImageGeometry) -> None:
        super().__init__()
        self.model = model
        # A table no wider than the widest image would fix the width of the graph to it.
        wider = _most_width(geometry) + WIDTH_STEP
        height, width = model.backbone.map_size(geometry.height, wider)
        codes = sinusoidal_positions_2d(height, width, model.config.hidden)
        self.register_buffer("positions", codes.unflatten(0, (height, width)), persistent=False)

    def forward(
        self, images: Images, content_width: Int[Tensor, " batch"]
    ) -> tuple[Bool[Tensor, "batch 1 1 tokens"], list[Float[Tensor, "batch kv_heads tokens size"]]]:
        features = self.model.encode(images, content_width)
        codes = self.positions[:, : features.map_size[1]]
        memory = features.tokens + codes.flatten(0, 1)
        projected = [layer.cross_attention.project(memory) for layer in _layers(self.model)]
        return ~features.is_padding[:, None, None], [part for pair in projected for part in pair]


class _Step(nn.Module):
    """One step of the decoder; its cache is given and returned, one character longer."""

    def __init__(self, model: ResNetTransformer) -> None:
        super().__init__()
        self.decoder = _decoder(model)
        self.layers = _layers(model)

    def forward(
        self,
        newest: Int[Tensor, "rows 1"],
        position: Int[Tensor, " 1"],
        is_visible: Bool[Tensor, "rows 1 1 tokens"],
        memory: list[Float[Tensor, "rows kv_heads tokens size"]],
        past: list[Float[Tensor, "rows kv_heads chars size"]],
    ) -> tuple[Float[Tensor, "rows classes"], list[Float[Tensor, "rows kv_heads more_chars size"]]]:
        decoder = self.decoder
        hidden = decoder.embedding(newest) * decoder.scale + decoder.positions[position]
        longer: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            normed = layer.self_norm(hidden)
            key, value = layer.self_attention.project(normed)
            own: KeyValue = (
                torch.cat([past[2 * i], key], dim=2),
                torch.cat([past[2 * i + 1], value], dim=2),
            )
            longer += own
            hidden = hidden + layer.self_attention(normed, own)
            image: KeyValue = (memory[2 * i], memory[2 * i + 1])
            attended = layer.cross_attention(layer.cross_norm(hidden), image, mask=is_visible)
            hidden = hidden + attended
            hidden = hidden + layer.feed_forward(hidden)
        logits: Tensor = decoder.classifier(decoder.norm(hidden))
        return logits[:, 0], longer


def _image_graph(module: nn.Module, geometry: ImageGeometry) -> bytes:
    batch, width = Dim("batch"), geometry.width
    free: dict[int, Any] = {0: batch}
    if geometry.fit == "pad":
        width = _most_width(geometry)
        free[2] = WIDTH_STEP * Dim("sixteenths", max=width // WIDTH_STEP)
    images = torch.zeros(_EXAMPLE_ROWS, geometry.height, width, 3, dtype=torch.uint8)
    return _graph(
        module,
        (images, torch.full((_EXAMPLE_ROWS,), width)),
        (free, {0: batch}),
        ["images", "content_width"],
    )


def _step_graph(model: ResNetTransformer) -> bytes:
    attention = _layers(model)[0].self_attention
    num_tokens = model.map_size[0] * model.map_size[1]
    count = 2 * len(_layers(model))
    rows, tokens, chars = Dim("rows"), Dim("tokens"), Dim("chars")

    def key_or_value(length: int) -> Tensor:
        return torch.zeros(_EXAMPLE_ROWS, attention.num_kv_heads, length, attention.head_size)

    inputs = (
        torch.ones(_EXAMPLE_ROWS, 1, dtype=torch.long),
        torch.tensor([_EXAMPLE_PAST]),
        torch.ones(_EXAMPLE_ROWS, 1, 1, num_tokens, dtype=torch.bool),
        [key_or_value(num_tokens) for _ in range(count)],
        [key_or_value(_EXAMPLE_PAST) for _ in range(count)],
    )
    free = (
        {0: rows},
        None,
        {0: rows, 3: tokens},
        [{0: rows, 2: tokens}] * count,
        [{0: rows, 2: chars}] * count,
    )
    names = ["newest", "position", "is_visible"]
    names += [f"memory_{i}" for i in range(count)] + [f"past_{i}" for i in range(count)]
    return _graph(_Step(model), inputs, free, names)


def _graph(
    module: nn.Module, inputs: tuple[Any, ...], free: Sequence[Any], names: list[str]
) -> bytes:
    """Trace and translate; an axis that is meant to be free and is not fails here.

    Raises:
        ExportError: It did.
    """
    with warnings.catch_warnings(), torch.no_grad(), _unchecked():
        warnings.simplefilter("ignore")  # torch's exporter warns of torch's own code
        program = export(module.eval(), inputs, dynamic_shapes=tuple(free), strict=False)
        translated = torch.onnx.export(program, input_names=names, dynamo=True, verbose=False)
    assert translated is not None
    proto = translated.model_proto
    onnx.checker.check_model(proto)
    for given, axes in zip(proto.graph.input, _flat(free), strict=True):
        shape = given.type.tensor_type.shape.dim
        if any(shape[axis].dim_value or shape[axis].dim_param.isdigit() for axis in axes or {}):
            raise ExportError(f"torch fixed the shape of {given.name} to that of its example")
    graph: bytes = proto.SerializeToString()
    return graph


@contextmanager
def _unchecked() -> Iterator[None]:
    """Check no types, where a run checks any: while torch traces, sizes are symbols, not ints."""
    was_disabled = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", was_disabled)


def _flat(free: Iterable[Any]) -> Iterator[Any]:
    for axes in free:
        if isinstance(axes, list):
            yield from axes
        else:
            yield axes


def _most_width(geometry: ImageGeometry) -> int:
    if geometry.fit == "stretch":
        return geometry.width
    return padded_width(geometry.width)


def _decoder(model: ResNetTransformer) -> TransformerDecoder:
    assert model.decoder is not None  # the settings of a model that reads with it say so
    return model.decoder


def _layers(model: ResNetTransformer) -> list[DecoderLayer]:
    layers = list(_decoder(model).layers)
    return [layer for layer in layers if isinstance(layer, DecoderLayer)]
