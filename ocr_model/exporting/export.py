"""Making, checking and writing the kinds of a bundle."""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import assert_never

from ocr_model.bundle import Bundle, build_bundle, load_bundle
from ocr_model.errors import BundleError, ConfigError, DatasetError
from ocr_model.exporting.checking import Figures, compare, require_alike
from ocr_model.exporting.config import ExportConfig
from ocr_model.exporting.words import Words, calibration_batches, choose_words
from ocr_model.exports import HALF_FILE, ExportKind, halve, read_weights, serialize_export
from ocr_model.inference.recognizer import Recognizer
from ocr_model.inference.runtimes import Runtime, TorchRuntime
from ocr_model.storage import Folder
from ocr_model.weights import find_model

_CALIBRATION_BATCH = 16


def export(
    config: ExportConfig, report: Callable[[ExportKind, Figures], None]
) -> dict[ExportKind, Path]:
    """Make every kind asked for, and write those that read as the original does.

    Args:
        config: What is made.
        report: Told of each kind when it is written.

    Returns:
        The folder of each kind.

    Raises:
        BundleError: The bundle cannot be loaded or written to.
        DatasetError: The words are missing.
        ConfigError: A kind cannot be made of this model, or needs what is not installed.
        ExportError: A kind does not read as the original does; the kinds before it were kept.
    """
    folder = find_model(config.model)
    bundle = load_bundle(folder)
    words = choose_words(config, bundle.info.normalization)
    files = _make(config, folder, bundle, words)
    exported = {kind: Recognizer(_runtime_of(folder, bundle, kind, files[kind])) for kind in files}
    original = Recognizer(bundle, precision="fp32")  # what exports are measured against
    found = compare(original, exported, words, config.batch_size)
    for kind, figures in found.items():
        require_alike(kind, figures, config.max_points_lost)
        _write(folder, kind, files[kind], figures)
        report(kind, figures)
    return {kind: folder / kind for kind in files}


def _make(
    config: ExportConfig, folder: Path, bundle: Bundle, words: Words
) -> dict[ExportKind, dict[str, bytes]]:
    graphs = {} if config.kinds == ["half"] else _graphs(bundle)
    files: dict[ExportKind, dict[str, bytes]] = {}
    for kind in config.kinds:
        match kind:
            case "half":
                files[kind] = {HALF_FILE: halve(read_weights(folder))}
            case "onnx":
                files[kind] = graphs
            case "int8":
                files[kind] = _quantized(bundle, graphs, words)
            case _:
                assert_never(kind)
    return files


def _graphs(bundle: Bundle) -> dict[str, bytes]:
    try:
        from ocr_model.exporting.graphs import build_graphs  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise ConfigError(
            f"kinds onnx and int8 need packages that are not installed ({error}): "
            "pip install 'ocr-on-ray[export]'; kinds=[half] needs none"
        ) from error
    return build_graphs(bundle)


def _quantized(bundle: Bundle, graphs: dict[str, bytes], words: Words) -> dict[str, bytes]:
    from ocr_model.exporting.int8 import quantize_graphs  # noqa: PLC0415  # an extra

    batches = list(calibration_batches(words, bundle.info, _CALIBRATION_BATCH))
    if not batches:
        raise DatasetError("no image to calibrate on can be read")
    return quantize_graphs(graphs, bundle.info, batches)


def _runtime_of(folder: Path, bundle: Bundle, kind: ExportKind, files: dict[str, bytes]) -> Runtime:
    if kind == "half":
        return TorchRuntime(
            build_bundle(folder, files[HALF_FILE], f"half/{HALF_FILE}"), precision="fp32"
        )
    from ocr_model.inference.onnx_runtime import OnnxRuntime  # noqa: PLC0415  # an extra

    return OnnxRuntime(bundle.info, files)


def _write(folder: Path, kind: ExportKind, files: dict[str, bytes], figures: Figures) -> None:
    needed = ("torch",) if kind == "half" else ("torch", "onnx", "onnxruntime", "onnxscript")
    versions = {name: version(name) for name in needed}
    target = Folder(str(folder / kind), setting="model", error=BundleError)
    for name, data in serialize_export(folder, kind, files, figures.model_dump(), versions).items():
        target.write(name, data)
