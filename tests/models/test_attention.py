from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from ocr_model.charset import BLANK, EOS, PAD, SOS, UNK
from ocr_model.decoding.autoregressive import Writer, decode_greedily
from ocr_model.errors import ConfigError
from ocr_model.models.attention import (
    Attention,
    DecoderLayer,
    TransformerDecoder,
    sinusoidal_positions_2d,
)
from ocr_model.models.writing import CachedWriter

HIDDEN, HEADS, CLASSES, TOKENS = 32, 4, 17, 11


def build_decoder(num_kv_heads: int = HEADS) -> TransformerDecoder:
    torch.manual_seed(0)
    decoder = TransformerDecoder(
        CLASSES,
        HIDDEN,
        num_layers=2,
        num_heads=HEADS,
        num_kv_heads=num_kv_heads,
        feed_forward=64,
        dropout=0.1,
        max_steps=10,
    )
    with torch.no_grad():
        decoder.classifier.bias[EOS] -= 1  # an untrained one often ends at once
    return decoder.eval()


def draw_memory(batch: int = 3) -> tuple[Tensor, Tensor]:
    memory = torch.randn(batch, TOKENS, HIDDEN, generator=torch.Generator().manual_seed(1))
    is_padding = torch.arange(TOKENS) >= torch.tensor([TOKENS, 6, 1])[:batch, None]
    return memory, is_padding


def copy_to_torch(attention: Attention) -> nn.MultiheadAttention:
    """Build torch's own multi-head attention, with shared heads written out."""
    shares = attention.num_heads // attention.num_kv_heads
    shape = (2, attention.num_kv_heads, attention.head_size)
    weight = attention.key_value.weight.view(*shape, HIDDEN).repeat_interleave(shares, dim=1)
    bias = attention.key_value.bias.view(shape).repeat_interleave(shares, dim=1)
    expected = nn.MultiheadAttention(HIDDEN, attention.num_heads, batch_first=True)
    with torch.no_grad():
        expected.in_proj_weight.copy_(
            torch.cat([attention.query.weight, weight.reshape(-1, HIDDEN)])
        )
        expected.in_proj_bias.copy_(torch.cat([attention.query.bias, bias.flatten()]))
        expected.out_proj.load_state_dict(attention.output.state_dict())
    return expected.eval()


@pytest.mark.parametrize("num_kv_heads", [4, 2, 1])
def test_attention_equals_torchs_with_shared_heads_written_out(num_kv_heads: int) -> None:
    torch.manual_seed(0)
    attention = Attention(HIDDEN, HEADS, num_kv_heads, 0.0).eval()
    inputs = torch.randn(3, 5, HIDDEN)
    memory, is_padding = draw_memory()
    expected, _ = copy_to_torch(attention)(inputs, memory, memory, key_padding_mask=is_padding)
    mask = ~is_padding[:, None, None, :]
    found = attention(inputs, attention.project(memory), mask=mask)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("num_kv_heads", [4, 2, 1])
def test_the_fused_kernel_and_the_weights_path_agree(num_kv_heads: int) -> None:
    decoder = build_decoder(num_kv_heads)
    memory, is_padding = draw_memory()
    newest = torch.tensor([[5], [6], [7]])
    with torch.no_grad():
        fused, none = CachedWriter(decoder, memory, is_padding).step(newest, 0)
        writer = CachedWriter(decoder, memory, is_padding, with_attention=True)
        explicit, weights = writer.step(newest, 0)
    assert none is None
    assert weights is not None
    assert torch.allclose(fused, explicit, atol=1e-5)
    assert weights.shape == (3, 2, HEADS, TOKENS)
    layer = decoder.layers[0]
    assert isinstance(layer, DecoderLayer)
    with torch.no_grad():
        hidden = decoder.embedding(newest) * decoder.scale + decoder.positions[:1]
        normed = layer.self_norm(hidden)
        hidden = hidden + layer.self_attention(normed, layer.self_attention.project(normed))
        _, expected = copy_to_torch(layer.cross_attention)(
            layer.cross_norm(hidden),
            memory,
            memory,
            key_padding_mask=is_padding,
            average_attn_weights=False,
        )
    assert torch.allclose(weights[:, 0], expected[:, :, 0], atol=1e-5)
    assert torch.allclose(weights.sum(-1), torch.ones(3, 2, HEADS))
    assert not weights.movedim(-1, 1)[is_padding].any()


@pytest.mark.parametrize(("num_heads", "num_kv_heads"), [(5, 5), (4, 3), (4, 8)])
def test_heads_that_do_not_divide_are_a_config_error(num_heads: int, num_kv_heads: int) -> None:
    with pytest.raises(ConfigError, match=f"num_kv_heads {num_kv_heads}"):
        Attention(HIDDEN, num_heads, num_kv_heads, 0.0)


def test_later_characters_do_not_change_earlier_logits() -> None:
    decoder = build_decoder()
    class_ids = torch.randint(5, CLASSES, (3, 8), generator=torch.Generator().manual_seed(2))
    changed = class_ids.clone()
    changed[:, 5:] = (changed[:, 5:] - 5 + 1) % (CLASSES - 5) + 5
    with torch.no_grad():
        before = decoder(class_ids, *draw_memory())
        after = decoder(changed, *draw_memory())
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


@dataclass
class PlainWriter:
    """Decodes the whole prefix anew for every character."""

    decoder: TransformerDecoder
    memory: Tensor
    is_padding: Tensor
    prefix: Tensor
    num_rows: list[int] = field(default_factory=list)

    def step(self, newest: Tensor, position: int) -> tuple[Tensor, None]:
        self.prefix = torch.cat([self.prefix, newest], dim=1)
        assert self.prefix.shape[1] == position + 1
        self.num_rows.append(len(newest))
        return self.decoder(self.prefix, self.memory, self.is_padding)[:, -1], None

    def select(self, rows: Tensor) -> None:
        self.memory, self.is_padding = self.memory[rows], self.is_padding[rows]
        self.prefix = self.prefix[rows]


@dataclass
class Ending:
    """Makes each row end at a length."""

    writer: Writer
    lengths: Tensor

    def step(self, newest: Tensor, position: int) -> tuple[Tensor, Tensor | None]:
        logits, weights = self.writer.step(newest, position)
        logits[self.lengths == position, EOS] += 20
        return logits, weights

    def select(self, rows: Tensor) -> None:
        self.writer.select(rows)
        self.lengths = self.lengths[rows]


@pytest.mark.parametrize("with_attention", [False, True])
@pytest.mark.parametrize("num_kv_heads", [4, 2, 1])
def test_decoding_with_the_cache_equals_decoding_the_whole_prefix_anew(
    num_kv_heads: int, with_attention: bool
) -> None:
    batch, decoder = 24, build_decoder(num_kv_heads)
    memory = torch.randn(batch, TOKENS, HIDDEN, generator=torch.Generator().manual_seed(1))
    is_padding = torch.arange(TOKENS) >= 1 + torch.arange(batch)[:, None] % TOKENS
    writer = CachedWriter(decoder, memory, is_padding, with_attention=with_attention)
    plain = PlainWriter(decoder, memory, is_padding, torch.zeros(batch, 0, dtype=torch.long))
    with torch.no_grad():
        cached, anew = (
            decode_greedily(
                Ending(each, torch.arange(batch) % 8),
                batch_size=batch,
                max_chars=9,
                device=memory.device,
            )
            for each in (writer, plain)
        )
    assert (cached.num_chars <= torch.arange(batch) % 8).all()
    assert len(cached.class_ids.unique()) > 3
    assert plain.num_rows[0] == batch
    assert plain.num_rows[-1] < batch / 2  # rows that had ended were dropped
    assert torch.equal(cached.class_ids, anew.class_ids)
    assert torch.allclose(cached.char_confidences, anew.char_confidences, atol=1e-5)
    assert torch.allclose(cached.confidences, anew.confidences, rtol=1e-4)
    assert not torch.isin(cached.class_ids, torch.tensor([UNK, SOS, EOS, BLANK])).any()
    assert ((cached.class_ids != PAD).sum(1) == cached.num_chars).all()
    if cached.attention is not None:
        is_written = (cached.class_ids != PAD)[:, None, None]
        sums = cached.attention.sum(-1)
        assert torch.allclose(sums[is_written.expand_as(sums)], torch.ones(()), atol=1e-5)
        assert not cached.attention.movedim(-1, 1)[is_padding].any()
    assert (cached.attention is None) != with_attention


@pytest.mark.parametrize("num_kv_heads", [4, 2, 1])
def test_products_in_bf16_are_nearly_those_in_single_precision(num_kv_heads: int) -> None:
    """As on a GPU under autocast."""
    decoder = build_decoder(num_kv_heads)
    exact, reduced = (
        CachedWriter(decoder, *draw_memory(), dtype=dtype)
        for dtype in (torch.float32, torch.bfloat16)
    )
    with torch.no_grad():
        for position in range(4):
            newest = torch.full((3, 1), 5 + position)
            expected, _ = exact.step(newest, position)
            found, _ = reduced.step(newest, position)
            assert found.dtype is torch.float32
            assert not torch.equal(found, expected)
            assert torch.allclose(found, expected, atol=0.05)


def test_every_place_of_the_map_has_a_code_of_its_own() -> None:
    codes = sinusoidal_positions_2d(2, 32, 64)
    assert codes.shape == (64, 64)
    assert torch.cdist(codes, codes).fill_diagonal_(1.0).min() > 0.1
    assert torch.equal(codes[0, :32], codes[31, :32])  # a row
    assert torch.equal(codes[0, 32:], codes[32, 32:])  # a column
