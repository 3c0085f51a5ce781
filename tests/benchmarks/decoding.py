"""How fast a Transformer decoder reads: against a plain loop, and against the CTC head beside it.

    uv run tests/benchmarks/decoding.py

Weights are random and every word is made to end at a length drawn as English words have them. The
plain loop projects the image again and re-decodes the whole prefix for every character, to the full
length, as docTR's `master` does. All times are the best of some turns, in seconds for one batch.
"""

import json
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import torch
from pydantic import PositiveInt
from torch import Tensor

from ocr_model.charset import BLANK, EOS, PAD, SOS, UNK, Charset
from ocr_model.config import Config
from ocr_model.decoding.autoregressive import decode_greedily
from ocr_model.entry_points import parse_command_line
from ocr_model.image import ImageGeometry
from ocr_model.models import build_model
from ocr_model.models.interface import Features
from ocr_model.models.resnet_transformer import ResNetTransformer, ResNetTransformerConfig
from ocr_model.models.writing import CachedWriter

_CERTAIN = 1000.0
_UNWRITABLE = [PAD, UNK, SOS, BLANK]


class DecodingConfig(Config):
    """What is measured."""

    model: ResNetTransformerConfig = ResNetTransformerConfig()
    geometry: ImageGeometry = ImageGeometry()
    batch_size: PositiveInt = 64
    num_threads: PositiveInt = 2
    turns: PositiveInt = 3
    device: str = "cpu"


def main() -> None:
    """Print one JSON object."""
    config = parse_command_line(DecodingConfig, "Measure decoding.")
    torch.set_num_threads(config.num_threads)
    torch.manual_seed(0)
    charset = Charset("".join(map(chr, range(33, 127))))
    model = build_model(config.model, charset.num_classes, config.geometry)
    assert isinstance(model, ResNetTransformer)
    model = model.eval().to(config.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    height, width = config.geometry.height, config.geometry.width
    images = torch.randint(0, 256, (config.batch_size, height, width, 3), dtype=torch.uint8)
    images = images.to(config.device)
    widths = torch.full((config.batch_size,), width, device=config.device)
    lengths = (torch.randn(config.batch_size) * 2.5 + 6).round().clamp(1, 20).long()
    lengths = lengths.to(config.device)
    by_ctc = copy(model)
    by_ctc.config = config.model.replace(decode_with="ctc")
    with torch.inference_mode():
        features = model.encode(images, widths)
        ways: dict[str, Callable[[], object]] = {
            "encode": lambda: model.encode(images, widths),
            "decode": lambda: _read(model, features, lengths),
            "plain": lambda: _read_plainly(model, features, lengths),
            "ctc": lambda: by_ctc.decode(features, max_chars=config.model.max_chars),
        }
        assert torch.equal(_read(model, features, lengths), _read_plainly(model, features, lengths))
        seconds = {name: _best(way, config) for name, way in ways.items()}
    whole = seconds["encode"] + seconds["decode"]
    figures = {
        **{f"{name}_seconds": round(value, 4) for name, value in seconds.items()},
        "words_per_second": round(config.batch_size / whole, 1),
        "times_plain": round(seconds["plain"] / seconds["decode"], 1),
        "of_ctc": round(whole / (seconds["encode"] + seconds["ctc"]), 2),
    }
    print(json.dumps(figures))


@dataclass
class Ending:
    """Makes each row end at a length."""

    writer: CachedWriter
    lengths: Tensor

    def step(self, newest: Tensor, position: int) -> tuple[Tensor, Tensor | None]:
        logits, weights = self.writer.step(newest, position)
        logits[self.lengths == position, EOS] += _CERTAIN
        return logits, weights

    def select(self, rows: Tensor) -> None:
        self.writer.select(rows)
        self.lengths = self.lengths[rows]


def _read(model: ResNetTransformer, features: Features, lengths: Tensor) -> Tensor:
    readings = decode_greedily(
        Ending(model.start_writing(features), lengths),
        batch_size=len(lengths),
        max_chars=model.config.max_chars,
        device=features.tokens.device,
    )
    return readings.class_ids


def _read_plainly(model: ResNetTransformer, features: Features, lengths: Tensor) -> Tensor:
    """Write all rows to the full length, each character after a pass over all before it."""
    decoder, memory = model.decoder, features.tokens + model.memory_positions
    assert decoder is not None
    prefix = torch.full((len(lengths), 1), SOS, device=memory.device)
    for position in range(model.config.max_chars):
        logits = decoder(prefix, memory, features.is_padding)
        newest = logits[:, -1]
        newest[lengths == position, EOS] += _CERTAIN
        newest[:, _UNWRITABLE] = -_CERTAIN
        prefix = torch.cat([prefix, newest.argmax(-1, keepdim=True)], dim=1)
    written = prefix[:, 1:]
    is_behind = torch.arange(written.shape[1], device=memory.device) >= lengths[:, None]
    return written.masked_fill(is_behind, PAD)[:, : int(lengths.max())]


def _best(way: Callable[[], object], config: DecodingConfig) -> float:
    times = []
    for _ in range(config.turns):
        began = time.perf_counter()
        way()
        if config.device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times)


if __name__ == "__main__":
    main()
