"""Attention with shared key/value heads, sinusoidal positions, and the Transformer decoder."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ocr_model.charset import PAD
from ocr_model.errors import ConfigError

KeyValue = tuple[
    Float[Tensor, "batch kv_heads time head_size"], Float[Tensor, "batch kv_heads time head_size"]
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
    ) -> Float[Tensor, "batch steps hidden"]:
        """Attend from `inputs` to keys and values; `mask` is True where attention is allowed."""
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
        attended = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=is_causal,
        )
        heads = attended.reshape(batch, self.num_heads, steps, self.head_size)
        attended = heads.transpose(1, 2).reshape(batch, steps, hidden)
        output: Tensor = self.output(attended)
        return output


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
        memory: Float[Tensor, "batch tokens hidden"],
        memory_mask: Bool[Tensor, "batch 1 1 tokens"],
    ) -> Float[Tensor, "batch steps hidden"]:
        """Take whole prefixes, each step of which sees those before it; the mask is of tokens."""
        normed = self.self_norm(inputs)
        own = self.self_attention.project(normed)
        inputs = inputs + self.dropout(self.self_attention(normed, own, is_causal=True))
        image = self.cross_attention.project(memory)
        attended = self.cross_attention(self.cross_norm(inputs), image, mask=memory_mask)
        inputs = inputs + self.dropout(attended)
        output: Tensor = inputs + self.dropout(self.feed_forward(inputs))
        return output


class TransformerDecoder(nn.Module):
    """Character embedding, sinusoidal positions, pre-norm layers, a classifier.

    For training, and whatever else has whole texts; `CachedWriter` reads with its weights.
    """

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

    def forward(
        self,
        class_ids: Int[Tensor, "batch steps"],
        memory: Float[Tensor, "batch tokens hidden"],
        is_padding: Bool[Tensor, "batch tokens"],
    ) -> Float[Tensor, "batch steps classes"]:
        """Return the logits of the next character after each of `class_ids`, of whole prefixes."""
        codes = self.positions[: class_ids.shape[1]]
        hidden = self.dropout(self.embedding(class_ids) * self.scale + codes)
        memory_mask = ~is_padding[:, None, None, :]
        for layer in self.layers:
            hidden = layer(hidden, memory, memory_mask)
        logits: Tensor = self.classifier(self.norm(hidden))
        return logits
