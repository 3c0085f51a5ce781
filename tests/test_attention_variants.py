import math
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from torch import Tensor

_PATH = Path(__file__).parent / "benchmarks" / "attention_variants.py"
_SPEC = spec_from_file_location("attention_variants", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
variants = module_from_spec(_SPEC)
_SPEC.loader.exec_module(variants)

CONFIG = variants.VariantsConfig(
    num_heads=4, num_kv_heads=2, head_size=8, window=5, chunk=4, device="cpu"
)
KINDS = variants.build_variants(CONFIG)


def softmax_attention(query: Tensor, key: Tensor, value: Tensor, window: int) -> Tensor:
    """Take queries one by one, each with the keys that it may see and no others."""
    shares = query.shape[1] // key.shape[1]
    rows = torch.zeros_like(query)
    for head in range(query.shape[1]):
        for i in range(query.shape[2]):
            seen = slice(max(0, i - window + 1), i + 1)
            keys, values = key[:, head // shares, seen], value[:, head // shares, seen]
            scores = torch.einsum("bc,btc->bt", query[:, head, i], keys) / math.sqrt(8)
            rows[:, head, i] = torch.einsum("bt,btc->bc", scores.softmax(-1), values)
    return rows


def linear_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Weigh by the product of the features, which are exp(x) below 0 and x + 1 above."""
    features = [torch.where(part > 0, part + 1, part.exp()) for part in (query, key)]
    weights = torch.einsum("bhic,bhjc->bhij", *features).tril()
    return weights / weights.sum(-1, keepdim=True) @ value


def plain_definition(kind: str, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    if kind == "linear":
        return linear_attention(query, key, value)
    window = CONFIG.window if kind == "local" else query.shape[2]
    return softmax_attention(query, key, value, window)


def inputs(kind: str, length: int) -> list[Tensor]:
    torch.manual_seed(length)
    heads = [CONFIG.num_heads, *[KINDS[kind].num_kv_heads] * 2]
    return [torch.randn(2, count, length, CONFIG.head_size) for count in heads]


@pytest.mark.parametrize("length", [1, 4, 5, 6, 17])
@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_attention_is_what_its_plain_definition_gives(kind: str, length: int) -> None:
    query, key, value = inputs(kind, length)
    expected = plain_definition(kind, query, key, value)
    torch.testing.assert_close(KINDS[kind].whole(query, key, value), expected)


@pytest.mark.parametrize("num_before", [0, 3, 5, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_gives_the_last_row_of_the_whole(kind: str, num_before: int) -> None:
    query, key, value = inputs(kind, num_before + 1)
    cache = KINDS[kind].remember(key[:, :, :num_before], value[:, :, :num_before])
    newest = [part[:, :, num_before:] for part in (query, key, value)]
    stepped = KINDS[kind].step(cache, *newest, num_before)
    expected = plain_definition(kind, query, key, value)
    torch.testing.assert_close(stepped, expected[:, :, num_before:])


@pytest.mark.parametrize("kind", ["local", "linear"])
def test_a_bounded_cache_holds_over_many_steps(kind: str) -> None:
    query, key, value = inputs(kind, 20)
    cache = KINDS[kind].remember(key[:, :, :6], value[:, :, :6])
    stepped = [
        KINDS[kind].step(cache, *(part[:, :, i : i + 1] for part in (query, key, value)), i)
        for i in range(6, 20)
    ]
    expected = plain_definition(kind, query, key, value)
    torch.testing.assert_close(torch.cat(stepped, dim=2), expected[:, :, 6:])


def test_caches_are_as_large_as_the_formulas_say() -> None:
    config = CONFIG.replace(batch_size=3, lengths=(16,), rounds=1, least_seconds=1e-9)
    figures = {row["kind"]: row for row in variants.measure(config)}
    per_head = 3 * 8 * 4  # batch, head_size, bytes of a number
    assert {kind: row["cache_bytes"] for kind, row in figures.items()} == {
        "plain": 2 * 4 * 16 * per_head,
        "fused": 2 * 4 * 16 * per_head,
        "grouped": 2 * 2 * 16 * per_head,
        "multi-query": 2 * 1 * 16 * per_head,
        "local": 2 * 4 * 5 * per_head,
        "linear": 4 * 9 * per_head,
    }
    scores = 3 * 4 * 16 * 16 * 4
    assert figures["plain"]["whole_peak_bytes"] >= 2 * scores  # before and after the softmax
