"""What beams and a lexicon cost: against greedy reading, for the Transformer decoder and for CTC.

    uv run tests/benchmarks/beam.py

Weights are random; logits are pushed towards frequent English words, so that beams come and go as
they do behind a trained model. Searches in the lexicon know the same words. All times are the best
of some turns, in seconds for one batch; `of_greedy` is how many times greedy reading's it takes.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from wordfreq import top_n_list

from ocr_model.charset import BLANK, EOS, Charset
from ocr_model.config import Config
from ocr_model.decoding.autoregressive import decode_greedily
from ocr_model.decoding.beam import decode_by_beam
from ocr_model.decoding.ctc import decode_ctc
from ocr_model.decoding.ctc_beam import decode_ctc_by_beam
from ocr_model.decoding.lexicon import Lexicon, Trie
from ocr_model.decoding.options import DecodeOptions
from ocr_model.decoding.readings import Readings
from ocr_model.entry_points import parse_command_line
from ocr_model.image import ImageGeometry
from ocr_model.models import build_model
from ocr_model.models.interface import Features
from ocr_model.models.resnet_transformer import ResNetTransformer, ResNetTransformerConfig
from ocr_model.models.writing import CachedWriter

_CHARSET = Charset("".join(map(chr, range(33, 127))))
_LONGEST = 12


class BeamConfig(Config):
    """What is measured."""

    model: ResNetTransformerConfig = ResNetTransformerConfig()
    geometry: ImageGeometry = ImageGeometry()
    batch_size: PositiveInt = 64
    num_columns: PositiveInt = 32
    num_beams: PositiveInt = 5
    num_words: PositiveInt = 30_000
    push: PositiveFloat = 6.0
    """Added to the logit of the right class: 6 makes it about 0.8 likely, 4 about 0.4."""
    num_threads: PositiveInt = 1
    turns: PositiveInt = 3
    device: str = "cpu"


Way = Callable[[DecodeOptions | None], Readings]  # None: greedily


def main() -> None:
    """Print one JSON object."""
    config = parse_command_line(BeamConfig, "Measure beam search.")
    torch.set_num_threads(config.num_threads)
    torch.manual_seed(0)
    words = _words(config.num_words)
    began = time.perf_counter()
    trie = Trie.compile(Lexicon(words), _CHARSET).to(config.device)
    figures: dict[str, float] = {"compile_seconds": round(time.perf_counter() - began, 3)}
    options = {
        "greedy": None,
        "beam": DecodeOptions(config.num_beams),
        "lexicon": DecodeOptions(config.num_beams, trie=trie),
    }
    spelt = _spell([words[i] for i in torch.randint(len(words), (config.batch_size,)).tolist()])
    writing = _Writing(config, spelt.to(config.device))
    ways: dict[str, Way] = {"decoder": writing.read, "ctc": _ctc(config, spelt)}
    with torch.inference_mode():
        for head, read in ways.items():
            seconds = {name: _best(read, chosen, config) for name, chosen in options.items()}
            for name, value in seconds.items():
                figures[f"{head}_{name}_seconds"] = round(value, 4)
            for name in ("beam", "lexicon"):
                of_greedy = seconds[name] / seconds["greedy"]
                figures[f"{head}_{name}_of_greedy"] = round(of_greedy, 2)
        writing.clock.clear()
        began = time.perf_counter()
        writing.read(options["beam"])
        share = sum(writing.clock) / (time.perf_counter() - began)
    figures["decoder_beam_share_of_select"] = round(share, 2)
    print(json.dumps(figures))


@dataclass
class _Pushed:
    """Has each row write its word."""

    writer: CachedWriter
    spelt: Tensor
    push: float
    clock: list[float]

    def step(self, newest: Tensor, position: int) -> tuple[Tensor, Tensor | None]:
        logits, weights = self.writer.step(newest, position)
        right = self.spelt[:, min(position, self.spelt.shape[1] - 1), None]
        return logits.scatter_add(1, right, torch.full_like(logits[:, :1], self.push)), weights

    def select(self, rows: Tensor) -> None:
        began = time.perf_counter()
        self.writer.select(rows)
        self.spelt = self.spelt[rows]
        self.clock.append(time.perf_counter() - began)


@dataclass
class _Writing:
    """Reads tokens of noise with the decoder."""

    config: BeamConfig
    spelt: Tensor
    clock: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        config = self.config
        model = build_model(config.model, _CHARSET.num_classes, config.geometry)
        assert isinstance(model, ResNetTransformer)
        self.model = model.eval().to(config.device)
        height, width = model.map_size
        tokens = torch.randn(config.batch_size, height * width, config.model.hidden)
        is_padding = torch.zeros(tokens.shape[:2], dtype=torch.bool)
        self.features = Features(
            tokens.to(config.device), is_padding.to(config.device), (height, width)
        )

    def read(self, options: DecodeOptions | None) -> Readings:
        config = self.config
        writer = _Pushed(
            self.model.start_writing(self.features), self.spelt, config.push, self.clock
        )
        arguments = {
            "batch_size": config.batch_size,
            "max_chars": config.model.max_chars,
            "device": torch.device(config.device),
        }
        if options is None:
            return decode_greedily(writer, **arguments)  # type: ignore[arg-type]  # of several kinds
        return decode_by_beam(writer, options=options, **arguments)  # type: ignore[arg-type]  # the same


def _ctc(config: BeamConfig, spelt: Tensor) -> Way:
    """Return a reader of columns of noise, every second one with a character of the word."""
    path = torch.full((config.batch_size, config.num_columns), BLANK)
    shown = path[:, 1 : 2 * _LONGEST : 2]
    shown[:] = spelt[:, : shown.shape[1]]
    path[path == EOS] = BLANK
    logits = torch.randn(*path.shape, _CHARSET.num_classes)
    logits.scatter_add_(2, path[..., None], torch.full((*path.shape, 1), config.push))
    log_probs = logits.log_softmax(-1).to(config.device)

    def read(options: DecodeOptions | None) -> Readings:
        if options is None:
            return decode_ctc(log_probs, config.num_columns)
        return decode_ctc_by_beam(log_probs, config.num_columns, options)

    return read


def _words(number: int) -> tuple[str, ...]:
    listed = top_n_list("en", 4 * number)
    fit = [word for word in listed if word.isascii() and word.isalnum() and len(word) <= _LONGEST]
    return tuple(fit[:number])


def _spell(words: list[str]) -> Tensor:
    """Return class ids, each word's followed by ends."""
    rows = [_CHARSET.encode(word) for word in words]
    return torch.tensor([row + [EOS] * (_LONGEST + 1 - len(row)) for row in rows])


def _best(read: Way, options: DecodeOptions | None, config: BeamConfig) -> float:
    times = []
    for _ in range(config.turns):
        began = time.perf_counter()
        read(options)
        if config.device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times)


if __name__ == "__main__":
    main()
