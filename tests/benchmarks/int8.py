"""Words per second of torch in fp32 and as it reads unless told, of ONNX graphs and INT8, on a CPU.

    uv run tests/benchmarks/int8.py --set model=DIR num_threads=2 data.seed=1

Times are the network's for one batch of the bundle's full width, decoding included; pictures are
scaled before. All take turns, batch after batch, so that other work on the machine slows them
alike; a ratio is the median of those of the turns. `model` must have been exported
(jobs/export.py); without one, a model of random weights is built, whose readings mean nothing: all
words have the greatest length, so that its decoder takes a larger part than a trained one's.
"""

import json
import statistics
import time
from collections.abc import Iterator

import numpy as np
import torch
from pydantic import PositiveInt

from ocr_model.bundle import Bundle, BundleInfo
from ocr_model.charset import Charset, Normalization
from ocr_model.config import Config
from ocr_model.data.fragments import SubsetIndex
from ocr_model.data.index import index_for_evaluation
from ocr_model.data.source_config import Subset
from ocr_model.data.sources import DataConfig
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.entry_points import parse_command_line
from ocr_model.exporting.graphs import build_graphs
from ocr_model.exporting.int8 import quantize_graphs
from ocr_model.image import ImageGeometry, decode_image, fit_image
from ocr_model.inference.evaluation import read_samples, read_words
from ocr_model.inference.onnx_runtime import OnnxRuntime
from ocr_model.inference.recognizer import Recognizer
from ocr_model.models import ModelConfig, build_model
from ocr_model.models.resnet_transformer import ResNetTransformerConfig

_COMPARED = (
    ("int8", "torch"), ("int8", "auto"), ("int8", "onnx"), ("onnx", "torch"), ("onnx", "auto"),
)  # fmt: skip


class Int8Config(Config):
    """What is measured."""

    model: str | None = None
    """Folder of an exported bundle; null: random weights of `architecture`."""
    architecture: ModelConfig = ResNetTransformerConfig()
    geometry: ImageGeometry = ImageGeometry()
    """Of random weights."""
    data: DataConfig = SyntheticSource(num_validation_words=1_000)
    """Words that are read; of random weights, and where it has any, its validation part."""
    num_threads: PositiveInt = 1
    batch_size: PositiveInt = 64
    turns: PositiveInt = 9


def main() -> None:
    """Print one JSON object."""
    config = parse_command_line(Int8Config, "Measure INT8.")
    torch.set_num_threads(config.num_threads)
    torch.manual_seed(0)
    readers = dict(_random_readers(config) if config.model is None else _readers(config.model))
    seconds = _seconds(readers, config)
    figures: dict[str, object] = {
        f"{name}_words_per_second": round(config.batch_size / statistics.median(times), 1)
        for name, times in seconds.items()
    }
    for name, other in _COMPARED:
        pairs = zip(seconds[other], seconds[name], strict=True)
        figures[f"{name}_times_{other}"] = round(statistics.median(a / b for a, b in pairs), 2)
    if config.model is not None:
        figures |= _accuracies(readers, config)
    print(json.dumps({"num_threads": config.num_threads, **figures}))


def _readers(folder: str) -> Iterator[tuple[str, Recognizer]]:
    yield "torch", Recognizer.load(folder, device="cpu", precision="fp32")
    yield "auto", Recognizer.load(folder, device="cpu")  # bf16, where the CPU computes in it
    for kind in ("onnx", "int8"):
        yield kind, Recognizer.load(folder, device="cpu", kind=kind)


def _random_readers(config: Int8Config) -> Iterator[tuple[str, Recognizer]]:
    charset = Charset("".join(map(chr, range(33, 127))))
    model = build_model(config.architecture, charset.num_classes, config.geometry).eval()
    info = BundleInfo(
        model=config.architecture,
        charset=charset.characters,
        normalization=Normalization.PRINTABLE,
        geometry=config.geometry,
        max_chars=25,
    )
    bundle = Bundle(info, model, charset)
    graphs = build_graphs(bundle)
    batch = _batch(config, info)
    yield "torch", Recognizer(bundle, precision="fp32")
    yield "auto", Recognizer(bundle)
    yield "onnx", Recognizer(OnnxRuntime(info, graphs))
    yield "int8", Recognizer(OnnxRuntime(info, quantize_graphs(graphs, info, [batch])))


def _batch(config: Int8Config, info: BundleInfo) -> tuple[np.ndarray, np.ndarray]:
    samples = read_samples(config.data, _index(config), 0, config.batch_size)
    pictures = [decode_image(image) for _, _, image, _ in samples if image is not None]
    fitted = [fit_image(picture, info.geometry) for picture in pictures]
    return np.stack([one[0] for one in fitted]), np.array([one[1] for one in fitted])


def _index(config: Int8Config) -> SubsetIndex:
    subset: Subset | None = "validation" if config.data.fragments("validation") else None
    return index_for_evaluation(config.data, subset)


def _seconds(readers: dict[str, Recognizer], config: Int8Config) -> dict[str, list[float]]:
    images, widths = _batch(config, next(iter(readers.values())).info)
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(config.turns + 1):
        for name, reader in readers.items():
            began = time.perf_counter()
            reader.read_fitted(images, widths)
            if turn:  # the first warms up
                seconds[name].append(time.perf_counter() - began)
    return seconds


def _accuracies(readers: dict[str, Recognizer], config: Int8Config) -> dict[str, object]:
    index = _index(config)
    figures: dict[str, object] = {"num_words": index.num_rows}
    for name, reader in readers.items():
        samples = list(read_samples(config.data, index, 0, index.num_rows))
        results = read_words(reader, samples, config.batch_size)
        exact = np.mean([result.truth == result.prediction.text for result in results])
        figures[f"{name}_word_accuracy_exact"] = round(float(exact), 4)
    return figures


if __name__ == "__main__":
    main()
