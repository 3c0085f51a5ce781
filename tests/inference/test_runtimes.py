"""What is exported reads as the original does."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from rapidfuzz.fuzz import ratio

from ocr_model.bundle import Bundle, BundleInfo, load_bundle, serialize_bundle
from ocr_model.charset import BLANK, EOS, Charset, Normalization
from ocr_model.decoding.readings import Prediction
from ocr_model.errors import BundleError, ConfigError
from ocr_model.exporting.graphs import build_graphs
from ocr_model.exporting.int8 import quantize_graphs
from ocr_model.exports import HALF_FILE, ExportKind, halve, read_weights, serialize_export
from ocr_model.image import ImageGeometry, pad_image
from ocr_model.inference import runtimes
from ocr_model.inference.onnx_runtime import OnnxRuntime
from ocr_model.inference.options import UPRIGHT, ReadOptions
from ocr_model.inference.preparing import prepare
from ocr_model.inference.recognizer import Recognizer
from ocr_model.inference.runtimes import TorchRuntime
from ocr_model.models import ModelConfig, build_model
from ocr_model.models.crnn import CRNNConfig
from ocr_model.models.resnet_transformer import ResNetTransformerConfig

CHARSET = Charset("0123456789abcdef")
PADDED = ImageGeometry(width=90, fit="pad")  # no multiple of what widths are rounded up to
STRETCHED = ImageGeometry(width=90)
TRANSFORMER = ResNetTransformerConfig(
    backbone="resnet10", backbone_width=0.25, hidden=32, num_layers=2, num_heads=4,
    num_kv_heads=1, feed_forward=64, max_chars=12,
)  # fmt: skip
CASES: dict[str, tuple[ModelConfig, ImageGeometry]] = {
    "transformer_padded": (TRANSFORMER, PADDED),
    "ctc_stretched": (TRANSFORMER.replace(decode_with="ctc", decoder_weight=0), STRETCHED),
    "crnn_stretched": (CRNNConfig(hidden=32), STRETCHED),
}


@dataclass(frozen=True)
class Exported:
    folder: Path
    graphs: dict[str, bytes]
    torch: Recognizer
    onnx: Recognizer


def _untrained(config: ModelConfig, geometry: ImageGeometry) -> Bundle:
    torch.manual_seed(0)
    model = build_model(config, CHARSET.num_classes, geometry)
    images = torch.randint(0, 256, (8, 32, geometry.width, 3)).to(torch.uint8)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear) and module.out_features == CHARSET.num_classes:
                module.weight *= 8  # readings as different as a trained model's
                module.bias[[EOS, BLANK]] -= 1
        for _ in range(10):  # statistics of normalisation
            model.encode(images, torch.full((8,), geometry.width))
    info = BundleInfo(
        model=config,
        charset=CHARSET.characters,
        normalization=Normalization.ALPHANUMERIC,
        geometry=geometry,
        max_chars=12,
        temperature=1.5,
    )
    return Bundle(info, model.eval(), CHARSET)


def _write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _write_export(folder: Path, kind: ExportKind, files: dict[str, bytes]) -> None:
    _write(folder / kind, serialize_export(folder, kind, files, {}, {}))


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES.keys())
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    bundle = _untrained(*request.param)
    folder = tmp_path_factory.mktemp("bundle")
    _write(folder, serialize_bundle(bundle.model, bundle.info))
    graphs = build_graphs(bundle)
    _write_export(folder, "onnx", graphs)
    _write_export(folder, "half", {HALF_FILE: halve(read_weights(folder))})
    torch_one = Recognizer.load(folder, device="cpu", precision="fp32")
    recognizers = (torch_one, Recognizer.load(folder, device="cpu", kind="onnx"))
    return Exported(folder, graphs, *recognizers)


def _picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(8, 60)), int(rng.integers(8, 160))
    coarse = rng.integers(0, 256, (4, 12, 3), np.uint8)
    return np.kron(coarse, np.ones((-(-height // 4), -(-width // 12), 1), np.uint8))


PICTURES = [_picture(seed) for seed in range(24)]


def _same(found: list[Prediction], expected: list[Prediction]) -> None:
    assert [p.text for p in found] == [p.text for p in expected]
    assert [p.confidence for p in found] == pytest.approx(
        [p.confidence for p in expected], abs=1e-3
    )


@settings(deadline=None, max_examples=5, database=None, phases=[Phase.generate])
@given(order=st.permutations(range(len(PICTURES))), batch_size=st.integers(1, 24))
def test_graphs_read_as_torch_does_in_any_order_and_batch_size(
    exported: Exported, order: list[int], batch_size: int
) -> None:
    alone = [exported.torch.read([picture])[0] for picture in PICTURES]
    assert len({p.text for p in alone}) > 2
    together = exported.onnx.read([PICTURES[i] for i in order], batch_size=batch_size)
    _same(together, [alone[i] for i in order])


@pytest.mark.parametrize("most_pixels", [1, 10_000, 10**9])
def test_portions_of_a_batch_are_encoded_as_the_whole(
    exported: Exported, monkeypatch: pytest.MonkeyPatch, most_pixels: int
) -> None:
    runtime = exported.torch.runtime
    assert isinstance(runtime, TorchRuntime)
    is_padded = exported.torch.info.geometry.fit == "pad"
    widths = np.array([90, 90, 80, 33, 17, 16, 3] if is_padded else [90] * 7)
    images = np.random.default_rng(0).integers(0, 256, (len(widths), 32, 90, 3), np.uint8)
    whole = runtime.encode(images, widths)
    calls = list[int]()
    encode = runtime.model.encode
    monkeypatch.setattr(
        runtime.model, "encode", lambda *inputs: calls.append(len(inputs[0])) or encode(*inputs)
    )
    monkeypatch.setattr(runtimes, "_CPU_PIXELS", most_pixels)
    found = runtime.encode(images, widths)
    assert sum(calls) == len(widths)
    assert (len(calls) > 1) == (most_pixels < 10**9)
    assert found.map_size == whole.map_size
    assert torch.equal(found.is_padding, whole.is_padding)
    is_content = ~whole.is_padding
    torch.testing.assert_close(
        found.tokens[is_content], whole.tokens[is_content], rtol=1e-3, atol=1e-4
    )


def test_graphs_have_no_writes_into_slices_which_are_slow(exported: Exported) -> None:
    for graph in exported.graphs.values():
        ops = {node.op_type for node in onnx.load_from_string(graph).graph.node}
        assert not ops & {"ScatterND", "ScatterElements"}


def test_graphs_read_only_the_characters_asked_for(exported: Exported) -> None:
    options = ReadOptions(characters="0123")
    _same(exported.onnx.read(PICTURES, options), exported.torch.read(PICTURES, options))


def test_half_precision_is_half_as_large_and_reads_the_same(exported: Exported) -> None:
    half = Recognizer.load(exported.folder, device="cpu", kind="half", precision="fp32")
    read = half.read(PICTURES)
    expected = exported.torch.read(PICTURES)
    same = [p.text == q.text for p, q in zip(read, expected, strict=True)]
    assert np.mean(same) > 0.9
    sizes = [len(halve(read_weights(exported.folder))), len(read_weights(exported.folder))]
    assert sizes[0] < 0.56 * sizes[1]


def test_eight_bits_read_nearly_the_same(exported: Exported) -> None:
    info, graphs = exported.torch.info, exported.graphs
    parts = [prepare(picture, info.geometry, UPRIGHT).views[0].parts[0] for picture in PICTURES]
    images = np.stack([pad_image(part, info.geometry) for part in parts])
    batches = [(images, np.array([part.shape[1] for part in parts]))] * 2
    quantized = quantize_graphs(graphs, info, batches)
    assert sum(map(len, quantized.values())) < 0.5 * sum(map(len, graphs.values()))
    read = Recognizer(OnnxRuntime(info, quantized)).read(PICTURES)
    expected = exported.torch.read(PICTURES)
    likeness = [ratio(p.text, q.text) for p, q in zip(read, expected, strict=True)]
    assert np.mean(likeness) > 60  # in hundredths; of random weights


def test_a_bundle_with_graphs_alone_can_be_read_with(exported: Exported, tmp_path: Path) -> None:
    _copy(exported.folder, tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    for kind in ("onnx", "half"):
        assert len(Recognizer.load(tmp_path, device="cpu", kind=kind).read(PICTURES[:2])) == 2


def _copy(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())


def _first_graph(folder: Path) -> Path:
    return sorted((folder / "onnx").glob("*.onnx"))[0]


def _cut(folder: Path) -> None:
    graph = _first_graph(folder)
    graph.write_bytes(graph.read_bytes()[:-1])


def _alter(folder: Path) -> None:
    graph = _first_graph(folder)
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(bytes(data))


def _retrain(folder: Path) -> None:
    bundle = load_bundle(folder)
    for parameter in bundle.model.parameters():
        parameter.data += 1e-3
    _write(folder, serialize_bundle(bundle.model, bundle.info))


def _swap_characters(folder: Path) -> None:
    path = folder / "model.json"
    path.write_text(path.read_text().replace("0123456789abcdef", "1023456789abcdef"))


def _write_no_json(folder: Path) -> None:
    (folder / "onnx" / "export.json").write_text("{")


def _write_newer(folder: Path) -> None:
    path = folder / "onnx" / "export.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))


def _write_unknown(folder: Path) -> None:
    path = folder / "onnx" / "export.json"
    path.write_text(path.read_text().replace('"figures"', '"figure"'))


@pytest.mark.parametrize("exported", [CASES["ctc_stretched"]], ids=["ctc"], indirect=True)
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_cut, "the file is cut short"),
        (_alter, "was altered"),
        (lambda folder: _first_graph(folder).unlink(), "cannot read"),
        (_retrain, "was made of another bundle"),
        (_swap_characters, "was made of another bundle"),
        (_write_no_json, "is not JSON"),
        (_write_newer, "reads format 1"),
        (_write_unknown, "did you mean 'figures'"),
    ],
)
def test_a_damaged_export_is_refused(
    exported: Exported, tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    _copy(exported.folder, tmp_path)
    damage(tmp_path)
    with pytest.raises(BundleError, match=said):
        Recognizer.load(tmp_path, kind="onnx")


def test_a_kind_that_was_not_made_names_the_command(bundle_path: Path) -> None:
    with pytest.raises(BundleError, match=r"jobs/export\.py --set model=.* kinds=\[int8\]"):
        Recognizer.load(bundle_path, kind="int8")


@pytest.mark.parametrize("device", ["cuda", "nonsense", ""])
def test_graphs_compute_on_the_cpu_alone(bundle_path: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=f"on the CPU .* got device={device} .* take kind=torch"):
        Recognizer.load(bundle_path, kind="onnx", device=device)


def test_graphs_compute_in_their_own_precision(bundle_path: Path) -> None:
    with pytest.raises(ConfigError, match="precision=bf16"):
        Recognizer.load(bundle_path, kind="onnx", precision="bf16")


def test_a_missing_onnxruntime_names_the_extra(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ocr_model.inference.onnx_runtime", None)
    with pytest.raises(ConfigError, match=r"pip install 'ocr-on-ray\[export\]'"):
        Recognizer.load(bundle_path, kind="onnx")


def test_padded_crnn_has_no_graph() -> None:
    with pytest.raises(ConfigError, match=r"image\.fit=pad"):
        build_graphs(_untrained(CRNNConfig(hidden=32), PADDED))


def test_sessions_have_as_many_threads_as_torch(exported: Exported) -> None:
    for session in OnnxRuntime(exported.torch.info, exported.graphs)._sessions.values():
        assert session.get_session_options().intra_op_num_threads == torch.get_num_threads()


def test_a_graph_that_this_onnxruntime_cannot_run_is_a_bundle_error(exported: Exported) -> None:
    with pytest.raises(BundleError, match=r"cannot run columns\.onnx"):
        OnnxRuntime(exported.torch.info, {"columns.onnx": b"of another time"})
