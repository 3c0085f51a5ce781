"""Reading with a Transformer decoder: one character at a time, in few and cheap calls.

A step of a small model costs more in calls than in products. So it does not go through the
decoder's modules: the newest character's query, key and value are one product, what dropout,
scaling and casts would take is done once before the first step, and nothing is projected twice.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ocr_model.models.attention import DecoderLayer, KeyValue, TransformerDecoder


class _Affine(NamedTuple):
    """Weight and bias."""

    weight: Tensor
    bias: Tensor


@dataclass
class _Layer:
    """A layer's weights, and what it keeps of the image and of the characters so far."""

    self_norm: _Affine
    query_key_value: _Affine
    self_output: _Affine
    cross_norm: _Affine
    cross_query: _Affine
    cross_output: _Affine
    norm: _Affine
    widen: _Affine
    narrow: _Affine
    image: KeyValue
    past: Float[Tensor, "2 rows kv_heads most_steps head_size"]


class CachedWriter:
    """Writes with what earlier steps have computed.

    On a GPU under autocast, products are in its precision, sums in single precision, as autocast
    has them. On a CPU a step is in single precision: of 8 rows of the compact decoder it takes
    0.5 ms, and 0.8 in bf16, which wins with 64 rows only (1.7 against 1.8). The image's keys and
    values stay in the precision that they were projected in.
    """

    def __init__(
        self,
        decoder: TransformerDecoder,
        memory: Float[Tensor, "rows tokens hidden"],
        is_padding: Bool[Tensor, "rows tokens"],
        *,
        with_attention: bool = False,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Project the image once, for all steps and layers; `dtype` is that of products."""
        kind = memory.device.type
        if dtype is None:
            is_reduced = kind != "cpu" and torch.is_autocast_enabled(kind)
            dtype = torch.get_autocast_dtype(kind) if is_reduced else torch.float32
        self.with_attention = with_attention
        self._layers = [_layer(each, memory, decoder.max_steps, dtype) for each in decoder.layers]
        self._embedding = decoder.embedding.weight * decoder.scale
        self._positions = decoder.positions
        self._norm = _affine(decoder.norm)
        self._classifier = _affine(decoder.classifier, dtype)
        visible = torch.zeros_like(is_padding, dtype=self._layers[0].image[0].dtype)
        self._mask_bias = visible.masked_fill(is_padding, float("-inf"))[:, None, None, :]
        self._without_casts = torch.autocast(kind, enabled=False)

    def step(
        self, newest: Int[Tensor, "rows 1"], position: int
    ) -> tuple[Float[Tensor, "rows classes"], Float[Tensor, "rows layers heads tokens"] | None]:
        """Take the newest characters in."""
        collected = []
        with self._without_casts:
            hidden = self._embedding[newest[:, 0]] + self._positions[position]
            for layer in self._layers:
                hidden = hidden + _attend_to_text(layer, hidden, position)
                attended, weights = self._attend_to_image(layer, hidden)
                hidden = hidden + attended
                wide = F.gelu(_linear(_layer_norm(hidden, layer.norm), layer.widen))
                hidden = hidden + _linear(wide, layer.narrow)
                if weights is not None:
                    collected.append(weights)
            logits = _linear(_layer_norm(hidden, self._norm), self._classifier).float()
        return logits, torch.stack(collected, dim=1) if self.with_attention else None

    def select(self, rows: Int[Tensor, " kept"]) -> None:
        """Keep these rows, in this order; one may come several times."""
        for layer in self._layers:
            key, value = layer.image
            layer.image, layer.past = (key[rows], value[rows]), layer.past[:, rows]
        self._mask_bias = self._mask_bias[rows]

    def _attend_to_image(self, layer: _Layer, hidden: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what is seen, and, where they are asked for, the weights of attention."""
        key, value = layer.image
        query = _linear(_layer_norm(hidden, layer.cross_norm), layer.cross_query)
        query = _by_head(query, layer).to(key.dtype)
        weights = None
        if self.with_attention:  # the fused kernel does not give them
            scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5 + self._mask_bias
            weights = scores.float().softmax(dim=-1)  # in bf16 they would miss a sum of 1 by 0.003
            seen = weights.to(value.dtype) @ value
            weights = weights.flatten(1, 2)
        else:
            seen = F.scaled_dot_product_attention(query, key, value, attn_mask=self._mask_bias)
        return _linear(seen.reshape(hidden.shape), layer.cross_output), weights


def _attend_to_text(layer: _Layer, hidden: Tensor, position: int) -> Tensor:
    projected = _linear(_layer_norm(hidden, layer.self_norm), layer.query_key_value)
    _, rows, kv_heads, _, head_size = layer.past.shape
    width = hidden.shape[1]
    newest = projected[:, width:].view(rows, 2, kv_heads, head_size)
    layer.past[:, :, :, position] = newest.transpose(0, 1)
    key, value = layer.past[:, :, :, : position + 1]
    seen = F.scaled_dot_product_attention(_by_head(projected[:, :width], layer), key, value)
    return _linear(seen.reshape(hidden.shape), layer.self_output)


def _by_head(query: Tensor, layer: _Layer) -> Tensor:
    """Let heads that share keys be further queries of them, so that no key is copied."""
    _, rows, kv_heads, _, head_size = layer.past.shape
    return query.view(rows, kv_heads, -1, head_size)


def _linear(inputs: Tensor, affine: _Affine) -> Tensor:
    return F.linear(inputs.to(affine.weight.dtype), affine.weight, affine.bias)


def _layer_norm(inputs: Tensor, affine: _Affine) -> Tensor:
    return F.layer_norm(inputs, inputs.shape[-1:], affine.weight, affine.bias)


def _layer(layer: nn.Module, memory: Tensor, most_steps: int, dtype: torch.dtype) -> _Layer:
    assert isinstance(layer, DecoderLayer)
    own, cross = layer.self_attention, layer.cross_attention
    norm, widen, *_, narrow = layer.feed_forward
    together = [_affine(own.query, dtype), _affine(own.key_value, dtype)]
    shape = (2, len(memory), own.num_kv_heads, most_steps, own.head_size)
    return _Layer(
        self_norm=_affine(layer.self_norm),
        query_key_value=_Affine(*(torch.cat(parts) for parts in zip(*together, strict=True))),
        self_output=_affine(own.output, dtype),
        cross_norm=_affine(layer.cross_norm),
        cross_query=_affine(cross.query, dtype),
        cross_output=_affine(cross.output, dtype),
        norm=_affine(norm),
        widen=_affine(widen, dtype),
        narrow=_affine(narrow, dtype),
        image=cross.project(memory),
        past=memory.new_empty(shape, dtype=dtype),
    )


def _affine(module: nn.Module, dtype: torch.dtype = torch.float32) -> _Affine:
    assert isinstance(module, nn.Linear | nn.LayerNorm)
    return _Affine(module.weight.to(dtype), module.bias.to(dtype))
