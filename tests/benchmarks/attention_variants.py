"""How long each kind of causal attention takes over the length, and what it must remember.

    OMP_NUM_THREADS=1 uv run tests/benchmarks/attention_variants.py

Prints one JSON object per kind and length: the whole sequence at once, as in training; the bytes
that this takes at its peak beside its inputs; one step of writing, in which the last character
attends to all before it; and the bytes that are kept between steps. Only the attention itself is
measured, without projections. Kinds take turns, and the best of each one's rounds counts.
"""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Literal

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler reports each start and stop

import torch
from jaxtyping import Bool, Float
from pydantic import PositiveFloat, PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from ocr_model.config import Config
from ocr_model.entry_points import parse_command_line

Queries = Float[Tensor, "batch heads time head_size"]
KeysOrValues = Float[Tensor, "batch kv_heads time head_size"]
Cache = tuple[Tensor, ...]
Which = tuple[str, int]  # kind and length
Ways = dict[Which, Callable[[], Tensor]]


class VariantsConfig(Config):
    """What is measured."""

    lengths: tuple[PositiveInt, ...] = (64, 256, 1024, 4096)
    batch_size: PositiveInt = 1
    num_heads: PositiveInt = 8
    num_kv_heads: PositiveInt = 2
    """Of grouped-query attention."""
    head_size: PositiveInt = 64
    window: PositiveInt = 128
    """Keys that a query of local attention sees, its own included."""
    chunk: PositiveInt = 64
    """Steps that linear attention takes at once; changes the time, not the result."""
    rounds: PositiveInt = 30
    least_seconds: PositiveFloat = 0.02
    """What is faster is repeated until it has taken this long."""
    num_threads: PositiveInt = 1
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    precision: Literal["fp32", "bf16"] = "fp32"

    @model_validator(mode="after")
    def _heads_can_be_shared(self) -> "VariantsConfig":
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"num_heads {self.num_heads} must be a multiple of num_kv_heads {self.num_kv_heads}"
            )
        return self


@dataclass(frozen=True)
class Variant:
    """One kind of attention: over a whole sequence, and step by step."""

    num_kv_heads: int
    whole: Callable[[Tensor, Tensor, Tensor], Tensor]
    remember: Callable[[Tensor, Tensor], Cache]
    """Takes the keys and values of a prefix; returns what a step needs, with room for one more."""
    step: Callable[[Cache, Tensor, Tensor, Tensor, int], Tensor]
    """Takes the cache, which it changes, and one query, key, value, and their position."""


def build_variants(config: VariantsConfig) -> dict[str, Variant]:
    heads = config.num_heads
    local = partial(attend_locally, window=config.window)
    linear = partial(attend_linearly, chunk=config.chunk)
    return {
        "plain": Variant(heads, attend_plainly, remember_all, step_plainly),
        "fused": Variant(heads, attend_fused, remember_all, step_fused),
        "grouped": Variant(config.num_kv_heads, attend_fused, remember_all, step_fused),
        "multi-query": Variant(1, attend_fused, remember_all, step_fused),
        "local": Variant(heads, local, partial(remember_last, window=config.window), step_fused),
        "linear": Variant(heads, linear, remember_sums, step_linearly),
    }


def attend_plainly(query: Queries, key: KeysOrValues, value: KeysOrValues) -> Queries:
    """Write all scores to memory, softmax them, and average the values."""
    length = query.shape[2]
    is_later = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(1)
    scores = query @ key.mT / math.sqrt(query.shape[-1])  # batch, heads, time, time
    return scores.masked_fill_(is_later, -math.inf).softmax(-1) @ value


def attend_fused(query: Queries, key: KeysOrValues, value: KeysOrValues) -> Queries:
    """Leave it to torch's kernel, which goes tile by tile; heads share keys without copies."""
    return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)


def attend_locally(
    query: Queries, key: KeysOrValues, value: KeysOrValues, *, window: int
) -> Queries:
    """Let each query see the last `window` keys, by blocks of so many and the blocks before."""
    batch, heads, length, _ = query.shape
    window = min(window, length)
    queries = _blocks(query, window).flatten(0, 1)  # batch * heads, blocks, window, head_size
    # Pairs of blocks overlap: they are views of what is there, no key is copied.
    padded = (F.pad(part, (0, 0, window, -length % window)) for part in (key, value))
    keys, values = (p.unfold(2, 2 * window, window).mT.flatten(0, 1) for p in padded)
    is_seen = band(window, queries.shape[1], query.device)[None]
    attended = F.scaled_dot_product_attention(queries, keys, values, attn_mask=is_seen)
    return attended.view(batch, heads, -1, attended.shape[-1])[:, :, :length]


def band(window: int, blocks: int, device: torch.device) -> Bool[Tensor, "blocks window keys"]:
    """Return which keys of two blocks a query of the second sees; the first has none before it."""
    queries = torch.arange(window, device=device)[:, None]
    keys = torch.arange(2 * window, device=device) - window  # places relative to the block
    is_seen = (keys <= queries) & (keys > queries - window)
    is_there = (torch.arange(blocks, device=device) > 0)[:, None, None] | (keys >= 0)
    return is_seen & is_there


def attend_linearly(
    query: Queries, key: KeysOrValues, value: KeysOrValues, *, chunk: int
) -> Queries:
    """Sum features of keys times values, chunk by chunk, and scores only within a chunk."""
    length = query.shape[2]
    queries, keys = _blocks(positive(query), chunk), _blocks(positive(key), chunk)
    values = _blocks(with_ones(value), chunk)  # batch, heads, chunks, chunk, head_size + 1
    sums = (keys.mT @ values).cumsum(2)
    before = F.pad(sums, (0, 0, 0, 0, 1, -1))  # of the chunks before
    within = (queries @ keys.mT).tril()  # batch, heads, chunks, chunk, chunk
    attended = (within @ values + queries @ before).flatten(2, 3)[:, :, :length]
    return attended[..., :-1] / attended[..., -1:]


def positive(inputs: Tensor) -> Tensor:
    """Return elu + 1, the features of arXiv:2006.16236: exp(x) below 0, x + 1 above.

    A million numbers take 1.1 ms on a CPU, 13 by `F.elu`.
    """
    return inputs.clamp(max=0).exp() + inputs.relu()


def with_ones(value: KeysOrValues) -> Float[Tensor, "batch kv_heads time widened"]:
    """Append a column of ones: what it sums to is the normaliser."""
    return F.pad(value, (0, 1), value=1.0)


def _blocks(inputs: Tensor, size: int) -> Float[Tensor, "batch heads blocks size channels"]:
    """Cut time into blocks; the last is filled up, behind all that causal queries see."""
    missing = -inputs.shape[2] % size
    return F.pad(inputs, (0, 0, 0, missing)).unflatten(2, (-1, size))


def remember_all(key: KeysOrValues, value: KeysOrValues) -> Cache:
    return F.pad(key, (0, 0, 0, 1)), F.pad(value, (0, 0, 0, 1))


def remember_last(key: KeysOrValues, value: KeysOrValues, *, window: int) -> Cache:
    """Keep a ring: position p lies in slot p modulo `window`. Softmax does not mind the order."""
    length = key.shape[2]
    if length < window:
        return remember_all(key, value)
    slots = torch.arange(length - window, length, device=key.device) % window
    keys, values = torch.empty_like(key[:, :, :window]), torch.empty_like(value[:, :, :window])
    keys[:, :, slots], values[:, :, slots] = key[:, :, -window:], value[:, :, -window:]
    return keys, values


def remember_sums(key: KeysOrValues, value: KeysOrValues) -> Cache:
    return (positive(key).mT @ with_ones(value),)  # batch, heads, head_size, head_size + 1


def step_plainly(cache: Cache, query: Tensor, key: Tensor, value: Tensor, position: int) -> Tensor:
    keys, values = cache
    keys[:, :, position : position + 1] = key
    values[:, :, position : position + 1] = value
    return (query @ keys.mT / math.sqrt(query.shape[-1])).softmax(-1) @ values


def step_fused(cache: Cache, query: Tensor, key: Tensor, value: Tensor, position: int) -> Tensor:
    """Take heads that share keys as more queries of them, as `ocr_model.models.attention` does."""
    keys, values = cache
    slot = position % keys.shape[2]
    keys[:, :, slot : slot + 1] = key
    values[:, :, slot : slot + 1] = value
    shared = query.view(len(query), keys.shape[1], -1, query.shape[-1])
    return F.scaled_dot_product_attention(shared, keys, values).view_as(query)


def step_linearly(cache: Cache, query: Tensor, key: Tensor, value: Tensor, position: int) -> Tensor:
    (sums,) = cache
    sums += positive(key).mT @ with_ones(value)
    attended = positive(query) @ sums
    return attended[..., :-1] / attended[..., -1:]


def main() -> None:
    """Print one JSON object per kind and length."""
    config = parse_command_line(VariantsConfig, __doc__ or "")
    torch.set_num_threads(config.num_threads)
    torch.manual_seed(0)
    with torch.inference_mode():
        for figures in measure(config):
            print(json.dumps(figures))


def measure(config: VariantsConfig) -> list[dict[str, str | int | float]]:
    wholes: Ways = {}
    steps: Ways = {}
    cache_bytes = {}
    for length, (name, variant) in product(config.lengths, build_variants(config).items()):
        query = _random(config, config.num_heads, length)
        key, value = (_random(config, variant.num_kv_heads, length) for _ in range(2))
        new_query, new_key, new_value = (p[:, :, -1:].contiguous() for p in (query, key, value))
        cache = variant.remember(key[:, :, :-1], value[:, :, :-1])
        cache_bytes[name, length] = sum(part.nbytes for part in cache)
        wholes[name, length] = partial(variant.whole, query, key, value)
        steps[name, length] = partial(
            variant.step, cache, new_query, new_key, new_value, length - 1
        )
    whole_seconds, step_seconds = _best(wholes, config), _best(steps, config)
    return [
        {
            "kind": name,
            "length": length,
            "whole_milliseconds": float(f"{1e3 * whole_seconds[name, length]:.3g}"),
            "whole_peak_bytes": _peak_bytes(wholes[name, length], config.device),
            "step_microseconds": float(f"{1e6 * step_seconds[name, length]:.3g}"),
            "cache_bytes": cache_bytes[name, length],
        }
        for name, length in wholes
    ]


def _random(config: VariantsConfig, heads: int, length: int) -> Tensor:
    dtype = torch.float32 if config.precision == "fp32" else torch.bfloat16
    shape = (config.batch_size, heads, length, config.head_size)
    return torch.randn(shape).to(config.device, dtype)


def _best(ways: Ways, config: VariantsConfig) -> dict[Which, float]:
    """Return the seconds of each way: they take turns, the best turn counts.

    All lengths take turns too, so that a slow minute of the machine slows none of them alone.
    """
    repeats = {}
    for which, way in ways.items():
        _seconds(way, 1, config.device)  # what is set up once
        repeats[which] = math.ceil(config.least_seconds / _seconds(way, 1, config.device))
    best = dict.fromkeys(ways, math.inf)
    for _ in range(config.rounds):
        for which, way in ways.items():
            best[which] = min(best[which], _seconds(way, repeats[which], config.device))
    return best


def _seconds(way: Callable[[], Tensor], repeats: int, device: str) -> float:
    _wait(device)
    began = time.perf_counter()
    for _ in range(repeats):
        way()
    _wait(device)
    return (time.perf_counter() - began) / repeats


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _peak_bytes(way: Callable[[], Tensor], device: str) -> int:
    """Return the most bytes that are held at a time, the result included, beside the inputs."""
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        way()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        way()
    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":  # one taken, or given back where negative
            held += event.nbytes()
            peak = max(peak, held)
    return peak


if __name__ == "__main__":
    main()
