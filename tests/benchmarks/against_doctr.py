"""Words per second against docTR's recognisers: same images, same threads, random weights.

    uv run --with python-doctr tests/benchmarks/against_doctr.py

docTR is installed for this only. Both sides are given rendered words of 32x128 pixels and give
texts with confidences; nothing is downloaded. Our decoders are made to end where English words do,
as trained ones would; docTR's write as random weights let them, as in the figures of its own that
this is compared with. A bundle of ours is read with its own weights, in each of `kinds`. Rounds are
interleaved and the best of each counts.
"""

import json
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from decoding import Ending
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from ocr_model import Recognizer
from ocr_model.charset import Charset
from ocr_model.config import Config
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.decoding.autoregressive import decode_greedily
from ocr_model.decoding.readings import Prediction, to_predictions
from ocr_model.entry_points import parse_command_line
from ocr_model.exports import Kind
from ocr_model.image import ImageGeometry, decode_image, fit_image
from ocr_model.models import ModelConfig, build_model
from ocr_model.models.resnet_transformer import ResNetTransformer, ResNetTransformerConfig

COMPACT = ResNetTransformerConfig(
    backbone="resnet10", backbone_width=0.5, hidden=192, num_layers=2, num_heads=6, num_kv_heads=6,
    feed_forward=512,
)  # fmt: skip
"""The quick-start's."""


class AgainstConfig(Config):
    """What is measured."""

    bundle: str | None = None
    """A trained model of ours, such as the embedded one."""
    kinds: tuple[Kind, ...] = ("torch",)
    """How the bundle is run."""
    doctr: tuple[str, ...] = ("crnn_mobilenet_v3_small", "crnn_vgg16_bn", "parseq", "master")
    batch_size: PositiveInt = 64
    num_threads: PositiveInt = 2
    rounds: PositiveInt = 3
    slow_rounds: int = Field(1, ge=1)
    """Of models that take more than 5 seconds a batch."""


def main() -> None:
    """Print one JSON object."""
    config = parse_command_line(AgainstConfig, "Measure against docTR.")
    torch.set_num_threads(config.num_threads)
    torch.manual_seed(0)
    images, lengths = _words(config.batch_size)
    ways: dict[str, Callable[[], object]] = {}
    for name, model_config in {
        "compact_ctc": COMPACT.replace(decode_with="ctc"),
        "compact": COMPACT,
        "resnet50_ctc": ResNetTransformerConfig(decode_with="ctc"),
        "resnet50": ResNetTransformerConfig(),
    }.items():
        ways[name] = _our_way(model_config, images, lengths)
    for kind in config.kinds if config.bundle is not None else ():
        reader = Recognizer.load(config.bundle, kind=kind, device="cpu")
        widths = np.full(len(images), images.shape[2])
        ways[f"bundle_{kind}"] = partial(_read_bundle, reader, images.numpy(), widths)
    for name in config.doctr:
        ways[name] = _their_way(name, images)
    seconds = dict.fromkeys(ways, float("inf"))
    with torch.inference_mode():
        for turn in range(config.rounds):
            for name, way in ways.items():
                if turn < config.slow_rounds or seconds[name] < 5:
                    seconds[name] = min(seconds[name], _time(way))
    rates = {name: config.batch_size / value for name, value in seconds.items()}
    ratios = {
        f"{ours}_of_{theirs}": round(rates[ours] / rates[theirs], 2)
        for ours in ways.keys() - {"resnet50_ctc", *config.doctr}
        for theirs in config.doctr
    }
    print(json.dumps({**{name: round(rate, 1) for name, rate in rates.items()}, **ratios}))


def _words(count: int) -> tuple[Tensor, Tensor]:
    source = SyntheticSource(num_words=count)
    (fragment,) = source.fragments("train")
    samples = source.read(fragment, np.arange(count), epoch=0)
    pixels = [decode_image(s.image) for s in samples if s.image is not None]
    images = np.stack([fit_image(picture, ImageGeometry())[0] for picture in pixels])
    return torch.from_numpy(images), torch.tensor([len(s.label or "") for s in samples])


def _read_bundle(reader: Recognizer, images: np.ndarray, widths: np.ndarray) -> list[Prediction]:
    return to_predictions(reader.read_fitted(images, widths), reader.charset)


def _our_way(
    config: ModelConfig, images: Tensor, lengths: Tensor
) -> Callable[[], list[Prediction]]:
    charset = Charset("".join(map(chr, range(33, 127))))
    model = build_model(config, charset.num_classes, ImageGeometry())
    model = model.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    assert isinstance(model, ResNetTransformer)
    widths = torch.full((len(images),), images.shape[2])

    def read() -> list[Prediction]:
        features = model.encode(images, widths)
        if model.config.decode_with == "ctc":
            return to_predictions(model.decode(features, max_chars=32), charset)
        writer = Ending(model.start_writing(features), lengths)
        readings = decode_greedily(
            writer, batch_size=len(images), max_chars=32, device=images.device
        )
        return to_predictions(readings, charset)

    return read


def _their_way(name: str, images: Tensor) -> Callable[[], object]:
    from doctr.models import recognition  # noqa: PLC0415  # only where it is installed

    model: nn.Module = getattr(recognition, name)(pretrained=False, pretrained_backbone=False)
    model = model.eval()
    pixels = images.permute(0, 3, 1, 2).float() / 255
    return lambda: model(pixels, return_preds=True)["preds"]


def _time(way: Callable[[], object]) -> float:
    began = time.perf_counter()
    way()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
