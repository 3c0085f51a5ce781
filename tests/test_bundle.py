import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ocr_model.bundle import (
    BundleInfo,
    load_bundle,
    read_bundle_info,
    serialize_bundle,
)
from ocr_model.charset import Charset, Normalization
from ocr_model.errors import BundleError
from ocr_model.image import ImageGeometry
from ocr_model.model_folder import MODEL_FILE, WEIGHTS_FILE
from ocr_model.models import build_model
from ocr_model.models.resnet_transformer import ResNetTransformerConfig

CHARSET = Charset("abcdef")


@pytest.fixture(scope="module")
def info(tiny_model: ResNetTransformerConfig) -> BundleInfo:
    return BundleInfo(
        model=tiny_model.replace(hidden=16),
        charset=CHARSET.characters,
        normalization=Normalization.ALPHANUMERIC,
        geometry=ImageGeometry(width=64),
        max_chars=12,
        metrics={"cer": 0.25},
        provenance={"config": {"run": {"name": "naïve"}}},
    )


@pytest.fixture
def folder(info: BundleInfo, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = build_model(info.model, CHARSET.num_classes, info.geometry)
    for name, content in serialize_bundle(model, info).items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / MODEL_FILE
    values = json.loads(path.read_bytes())
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def replace_weights(folder: Path, weights: bytes) -> None:
    """Put other weights into the bundle, with their true size and hash."""
    (folder / WEIGHTS_FILE).write_bytes(weights)
    digest = hashlib.sha256(weights).hexdigest()
    edit(folder, lambda v: v.update(weights_bytes=len(weights), weights_sha256=digest))


def test_a_bundle_says_what_was_put_into_it(info: BundleInfo, folder: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.charset == CHARSET
    assert not bundle.model.training
    unsaid = {"versions", "weights_bytes", "weights_sha256"}
    assert bundle.info.model_dump(exclude=unsaid) == info.model_dump(exclude=unsaid)
    assert torch.__version__.startswith(bundle.info.versions["torch"])
    assert read_bundle_info(folder) == bundle.info


def test_a_bundle_does_not_need_the_pretrained_weights_of_its_training(folder: Path) -> None:
    edit(folder, lambda v: v["model"].update(pretrained="/gone/resnet.pt"))
    assert load_bundle(folder).info.model.pretrained == "/gone/resnet.pt"


def test_a_flipped_byte_is_found(folder: Path) -> None:
    weights = bytearray((folder / WEIGHTS_FILE).read_bytes())
    weights[len(weights) // 2] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(weights)
    with pytest.raises(BundleError, match=r"weights\.safetensors was altered"):
        load_bundle(folder)


def test_a_cut_file_is_found(folder: Path) -> None:
    weights = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(weights[:-1])
    with pytest.raises(BundleError, match=f"{len(weights) - 1} bytes.*{len(weights)}.*cut short"):
        load_bundle(folder)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, MODEL_FILE])
def test_a_missing_file_is_named_with_what_a_bundle_is(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name}.*A bundle is a folder"):
        load_bundle(folder)


def test_a_missing_folder_is_a_bundle_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        load_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize("number", [0, 2, None, "1"])
def test_another_format_number_is_refused(folder: Path, number: object) -> None:
    edit(folder, lambda v: v.update(format=number))
    with pytest.raises(BundleError, match=f"format {number!r}; this program reads format 1"):
        load_bundle(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[]", b"null", b'"text"'])
def test_garbage_in_place_of_json_is_a_bundle_error(folder: Path, content: bytes) -> None:
    (folder / MODEL_FILE).write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.json"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda v: v.pop("charset"), "charset"),
        (lambda v: v.update(surprise=1), "surprise"),
        (lambda v: v["model"].update(name="abinet"), "abinet"),
        (lambda v: v.update(charset="aab"), "repeated"),
        (lambda v: v.update(pixel_mean=[0, 0, 0]), "normalises pixels"),
        (lambda v: v["model"].update(num_heads=3), "num_heads"),
    ],
)
def test_facts_that_are_not_understood_are_named(
    folder: Path, change: Callable[[dict[str, Any]], object], named: str
) -> None:
    edit(folder, change)
    with pytest.raises(BundleError, match=named):
        load_bundle(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v["model"].update(num_heads=1, num_kv_heads=1, hidden=16),
        lambda v: v["model"].update(strides="untouched"),
        lambda v: v["model"].pop("strides"),
        lambda v: v.update(charset=v["charset"][::-1]),
        lambda v: v.update(max_chars=3),
        lambda v: v["geometry"].update(width=128),
        lambda v: v["geometry"].update(fit="pad"),
        lambda v: v.update(normalization="printable"),
    ],
)
def test_an_edited_description_of_the_same_shapes_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    edit(folder, change)
    with pytest.raises(BundleError, match=r"not the description that weights\.safetensors was"):
        load_bundle(folder)


def test_a_description_may_gain_notes(folder: Path) -> None:
    edit(folder, lambda v: (v["metrics"].update(cer=0.5), v["provenance"].update(note="x")))
    assert load_bundle(folder).info.metrics == {"cer": 0.5}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["model"].update(num_head=2), r"num_head: unknown setting"),
        (lambda v: v["model"].update(dropout="x"), r"dropout: Input should be a valid number"),
        (lambda v: v["model"].update(dropout=3), r"dropout"),
    ],
)
def test_a_wrong_description_is_told_in_one_line(
    folder: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit(folder, change)
    with pytest.raises(BundleError, match=rf"model\.json.*{message}") as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)


def test_weights_of_another_architecture_are_named_tensor_by_tensor(folder: Path) -> None:
    edit(folder, lambda v: v["model"].update(hidden=32))
    with pytest.raises(BundleError, match=r"another architecture.*project\.weight is \(16, 128"):
        load_bundle(folder)


def test_missing_and_surplus_tensors_are_named(folder: Path) -> None:
    edit(folder, lambda v: v["model"].update(num_layers=2))
    with pytest.raises(BundleError, match=r"decoder\.layers\.1\.\S+ is missing"):
        load_bundle(folder)
    edit(folder, lambda v: v["model"].update(num_layers=1, ctc_weight=0))
    with pytest.raises(BundleError, match=r"ctc_head\.\S+ is not in the model"):
        load_bundle(folder)


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_pickle_in_place_of_the_weights_is_refused_and_not_run(folder: Path) -> None:
    replace_weights(folder, pickle.dumps(_Trap(folder / "sprung")))
    with pytest.raises(BundleError, match=r"weights\.safetensors"):
        load_bundle(folder)
    assert not (folder / "sprung").exists()
