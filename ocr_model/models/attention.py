"""Attention with shared key/value heads, sinusoidal positions, and the Transformer decoder."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ocr_model.charset import PAD
from ocr_model.errors import ConfigError

KeyValue = tuple[
    Float[Tensor, "batch kv_heads time head_size"], Float[Tensor, "batch kv_heads time head_size"]
]
MemoryKeyValue = tuple[
    Float[Tensor, "batch kv_heads tokens head_size"],
    Float[Tensor, "batch kv_heads tokens head_size"],
]
PrefixKeyValue = tuple[  # `_`: the prefix grows from `past` to what is returned
    Float[Tensor, "batch kv_heads _ head_size"], Float[Tensor, "batch kv_heads _ head_size"]
]


def sinusoidal_positions(num_positions: int, hidden: int) -> Float[Tensor, "positions hidden"]:
    """Return sine and cosine position codes (arXiv:1706.03762, section 3.5)."""
    positions = torch.arange(num_positions)[:, None]
    rates = torch.exp(torch.arange(0, hidden, 2) * (-math.log(10_000.0) / hidden))
    codes = torch.zeros(num_positions, hidden)
    codes[:, 0::2] = torch.sin(positions * rates)
    codes[:, 1::2] = torch.cos(positions * rates)
    return codes


def sinusoidal_positions_2d(height: int, width: int, hidden: int) -> Float[Tensor, "tokens hidden"]:
    """Return row codes in the first half of the channels, column codes in the second."""
    rows = sinusoidal_positions(height, hidden // 2)[:, None].expand(height, width, -1)
    columns = sinusoidal_positions(width, hidden // 2)[None].expand(height, width, -1)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


class Attention(nn.Module):
    """Scaled dot-product attention whose query heads may share keys and values.

    `num_kv_heads == num_heads` is multi-head attention, 1 is multi-query (arXiv:1911.02150), what
    lies between is grouped-query (arXiv:2305.13245). Fewer heads shrink the cache of decoding.
    """

    def __init__(self, hidden: int, num_heads: int, num_kv_heads: int, dropout: float) -> None:
        super().__init__()
        if hidden % num_heads or num_heads % num_kv_heads:
            raise ConfigError(
                f"hidden {hidden} must be a multiple of num_heads {num_heads}, and that of "
                f"num_kv_heads {num_kv_heads}"
            )
        self.num_heads, self.num_kv_heads = num_heads, num_kv_heads
        self.head_size = hidden // num_heads
        self.dropout = dropout
        self.query = nn.Linear(hidden, hidden)
        self.key_value = nn.Linear(hidden, 2 * num_kv_heads * self.head_size)
        self.output = nn.Linear(hidden, hidden)

    def project(self, memory: Float[Tensor, "batch time hidden"]) -> KeyValue:
        """Return keys and values; a caller may keep them."""
        batch, time, _ = memory.shape
        projected = self.key_value(memory).view(batch, time, 2, self.num_kv_heads, self.head_size)
        key, value = projected.permute(2, 0, 3, 1, 4)  # each: batch, kv_heads, time, head_size
        return key, value

    def forward(
        self,
        inputs: Float[Tensor, "batch steps hidden"],
        key_value: KeyValue,
        *,
        mask: Bool[Tensor, "batch 1 1 time"] | None = None,
        is_causal: bool = False,
        with_weights: bool = False,
    ) -> tuple[Float[Tensor, "batch steps hidden"], Float[Tensor, "batch heads steps time"] | None]:
        """Attend from `inputs` to keys and values; `mask` is True where attention is allowed.

        The weights are computed only when asked for; the fused kernel does not give them.
        """
        batch, steps, hidden = inputs.shape
        query = self.query(inputs).view(batch, steps, self.num_heads, self.head_size)
        query = query.transpose(1, 2)  # batch, heads, steps, head_size
        shares = self.num_heads // self.num_kv_heads
        key, value = (part.repeat_interleave(shares, dim=1) for part in key_value)
        weights = None
        if with_weights:
            scores = query @ key.transpose(-1, -2) / math.sqrt(self.head_size)
            if mask is not None:
                scores = scores.masked_fill(~mask, float("-inf"))
            weights = scores.softmax(dim=-1)
            attended = weights @ value
        else:
            attended = F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=mask,
                dropout_p=self.dropout if self.training else 0.0,
                is_causal=is_causal,
            )
        merged = attended.transpose(1, 2).reshape(batch, steps, hidden)
        return self.output(merged), weights


@dataclass
class DecoderCache:
    """What a decoding step need not compute again."""

    memory: list[MemoryKeyValue]
    """Keys and values of the image, one per layer; fixed."""
    past: list[PrefixKeyValue | None]
    """Keys and values of the characters so far, one per layer; grows by one a step."""
    memory_mask: Bool[Tensor, "batch 1 1 tokens"]
    """True where a token may be attended to."""


class DecoderLayer(nn.Module):
    """Pre-norm decoder layer: self-attention, attention to the image, feed-forward."""

    def __init__(
        self, hidden: int, num_heads: int, num_kv_heads: int, feed_forward: int, dropout: float
    ) -> None:
        super().__init__()
        self.self_norm = nn.LayerNorm(hidden)
        self.self_attention = Attention(hidden, num_heads, num_kv_heads, dropout)
        self.cross_norm = nn.LayerNorm(hidden)
        self.cross_attention = Attention(hidden, num_heads, num_kv_heads, dropout)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(hidden),
            nn.Linear(hidden, feed_forward),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(feed_forward, hidden),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        inputs: Float[Tensor, "batch steps hidden"],
        memory: MemoryKeyValue,
        memory_mask: Bool[Tensor, "batch 1 1 tokens"],
        *,
        past: PrefixKeyValue | None = None,
        with_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch steps hidden"],
        PrefixKeyValue,
        Float[Tensor, "batch heads steps tokens"] | None,
    ]:
        """Return the output, the keys and values so far, and the weights over the image.

        Without `past`, `inputs` is a whole prefix and is masked causally; with it, one new step.
        """
        normed = self.self_norm(inputs)
        key_value = self.self_attention.project(normed)
        if past is not None:
            key_value = (
                torch.cat([past[0], key_value[0]], dim=2),
                torch.cat([past[1], key_value[1]], dim=2),
            )
        attended, _ = self.self_attention(normed, key_value, is_causal=past is None)
        inputs = inputs + self.dropout(attended)
        attended, weights = self.cross_attention(
            self.cross_norm(inputs), memory, mask=memory_mask, with_weights=with_weights
        )
        inputs = inputs + self.dropout(attended)
        inputs = inputs + self.dropout(self.feed_forward(inputs))
        return inputs, key_value, weights


class TransformerDecoder(nn.Module):
    """Character embedding, sinusoidal positions, pre-norm layers, a classifier."""

    positions: Tensor

    def __init__(
        self,
        num_classes: int,
        hidden: int,
        *,
        num_layers: int,
        num_heads: int,
        num_kv_heads: int,
        feed_forward: int,
        dropout: float,
        max_steps: int,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, hidden, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=hidden**-0.5)
        self.register_buffer("positions", sinusoidal_positions(max_steps, hidden), persistent=False)
        self.scale = math.sqrt(hidden)
        self.dropout = nn.Dropout(dropout)
        self.layers: nn.ModuleList = nn.ModuleList(
            DecoderLayer(hidden, num_heads, num_kv_heads, feed_forward, dropout)
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(hidden)
        self.classifier = nn.Linear(hidden, num_classes)

    @property
    def max_steps(self) -> int:
        """Longest prefix, `<SOS>` included."""
        return self.positions.shape[0]

    def start(
        self,
        memory: Float[Tensor, "batch tokens hidden"],
        is_padding: Bool[Tensor, "batch tokens"],
    ) -> DecoderCache:
        """Project the image once, for all steps and layers."""
        return DecoderCache(
            memory=[
                self._layer(i).cross_attention.project(memory) for i in range(len(self.layers))
            ],
            past=[None] * len(self.layers),
            memory_mask=~is_padding[:, None, None, :],
        )

    def forward(
        self,
        class_ids: Int[Tensor, "batch steps"],
        cache: DecoderCache,
        *,
        position: int = 0,
        with_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch steps classes"],
        Float[Tensor, "batch layers heads steps tokens"] | None,
    ]:
        """Return the logits of the next character after each of `class_ids`.

        Args:
            class_ids: A whole prefix (`position` 0) or the one newest character.
            cache: Of `start`; its `past` is extended when `position` goes on where it ends, and
                left alone by a whole prefix in training.
            position: Number of characters already in `cache.past`.
            with_weights: Also return the cross-attention weights.
        """
        steps = class_ids.shape[1]
        codes = self.positions[position : position + steps]
        hidden = self.dropout(self.embedding(class_ids) * self.scale + codes)
        collected = []
        for i in range(len(self.layers)):
            hidden, cache.past[i], weights = self._layer(i)(
                hidden,
                cache.memory[i],
                cache.memory_mask,
                past=cache.past[i] if position else None,
                with_weights=with_weights,
            )
            collected.append(weights)
        stacked = torch.stack(collected, dim=1) if with_weights else None
        return self.classifier(self.norm(hidden)), stacked

    def _layer(self, index: int) -> DecoderLayer:
        layer = self.layers[index]
        assert isinstance(layer, DecoderLayer)
        return layer
