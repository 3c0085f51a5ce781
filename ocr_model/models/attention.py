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
PrefixKeyValue = tuple[
    Float[Tensor, "batch kv_heads most_steps head_size"],
    Float[Tensor, "batch kv_heads most_steps head_size"],
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
        shares = self.num_heads // self.num_kv_heads
        query = self.query(inputs).view(batch, steps, self.num_kv_heads, shares, self.head_size)
        query = query.permute(0, 2, 3, 1, 4)  # batch, kv_heads, shares, steps, head_size
        key, value = key_value
        # Heads that share keys are but more queries of them, so that no key is copied; where each
        # query sees other keys than the next, that does not hold.
        if is_causal:
            query = query.flatten(1, 2)
            key, value = (part.repeat_interleave(shares, dim=1) for part in key_value)
        else:
            query = query.flatten(2, 3)
        weights = None
        if with_weights:
            scores = query @ key.transpose(-1, -2) / math.sqrt(self.head_size)
            if mask is not None:
                scores = scores.masked_fill(~mask, float("-inf"))
            weights = scores.float().softmax(dim=-1)  # in bf16 they would miss a sum of 1 by 0.003
            attended = weights.to(value.dtype) @ value
            weights = weights.view(batch, self.num_heads, steps, -1)
        else:
            attended = F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=mask,
                dropout_p=self.dropout if self.training else 0.0,
                is_causal=is_causal,
            )
        heads = attended.reshape(batch, self.num_heads, steps, self.head_size)
        return self.output(heads.transpose(1, 2).reshape(batch, steps, hidden)), weights


@dataclass
class DecoderCache:
    """What a decoding step need not compute again; row by row of the batch."""

    memory: list[MemoryKeyValue]
    """Keys and values of the image, one pair per layer."""
    memory_mask: Bool[Tensor, "batch 1 1 tokens"]
    """True where a token may be attended to."""
    past: list[PrefixKeyValue]
    """Room for keys and values of all characters, one pair per layer; none for whole prefixes."""

    def select(self, rows: Int[Tensor, " kept"]) -> None:
        """Keep these rows, in this order; one may come several times."""
        self.memory = [(key[rows], value[rows]) for key, value in self.memory]
        self.past = [(key[rows], value[rows]) for key, value in self.past]
        self.memory_mask = self.memory_mask[rows]


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
        position: int = 0,
        with_weights: bool = False,
    ) -> tuple[
        Float[Tensor, "batch steps hidden"], Float[Tensor, "batch heads steps tokens"] | None
    ]:
        """Return the output, and the weights over the image.

        Without `past`, `inputs` is a whole prefix and is masked causally; with it, the one new step
        at `position`, whose keys and values are written there.
        """
        normed = self.self_norm(inputs)
        key, value = self.self_attention.project(normed)
        if past is not None:
            keys, values = past
            keys[:, :, position : position + 1] = key
            values[:, :, position : position + 1] = value
            key, value = keys[:, :, : position + 1], values[:, :, : position + 1]
        attended, _ = self.self_attention(normed, (key, value), is_causal=past is None)
        inputs = inputs + self.dropout(attended)
        attended, weights = self.cross_attention(
            self.cross_norm(inputs), memory, mask=memory_mask, with_weights=with_weights
        )
        inputs = inputs + self.dropout(attended)
        inputs = inputs + self.dropout(self.feed_forward(inputs))
        return inputs, weights


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
        *,
        num_steps: int = 0,
    ) -> DecoderCache:
        """Project the image once, for all steps and layers.

        `num_steps` is the number of characters that will be fed one by one; 0: whole prefixes.
        """
        layers = [self._layer(i) for i in range(len(self.layers))]
        attention = layers[0].self_attention
        shape = (len(memory), attention.num_kv_heads, num_steps, attention.head_size)
        projected = [layer.cross_attention.project(memory) for layer in layers]
        if num_steps:  # each step reads them again
            projected = [(key.contiguous(), value.contiguous()) for key, value in projected]
        return DecoderCache(
            memory=projected,
            memory_mask=~is_padding[:, None, None, :],
            past=[
                (projected[0][0].new_empty(shape), projected[0][0].new_empty(shape))
                for _ in layers
                if num_steps
            ],
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
            class_ids: A whole prefix, or, where the cache has room for them, the newest character.
            cache: Of `start`.
            position: Number of characters before `class_ids`, all in the cache.
            with_weights: Also return the cross-attention weights.
        """
        steps = class_ids.shape[1]
        codes = self.positions[position : position + steps]
        hidden = self.dropout(self.embedding(class_ids) * self.scale + codes)
        collected = []
        for i in range(len(self.layers)):
            hidden, weights = self._layer(i)(
                hidden,
                cache.memory[i],
                cache.memory_mask,
                past=cache.past[i] if cache.past else None,
                position=position,
                with_weights=with_weights,
            )
            collected.append(weights)
        stacked = torch.stack(collected, dim=1) if with_weights else None
        return self.classifier(self.norm(hidden)), stacked

    def _layer(self, index: int) -> DecoderLayer:
        layer = self.layers[index]
        assert isinstance(layer, DecoderLayer)
        return layer
