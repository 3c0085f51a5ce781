"""A model folder: `weights.safetensors` and `model.json`, all that use of a model needs.

Loading verifies size and hash of the weights, and that the description is the one they were
written with. It never unpickles anything.
"""

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveFloat, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from ocr_model.charset import Charset, Normalization
from ocr_model.config import Config, explain
from ocr_model.errors import BundleError
from ocr_model.image import ImageGeometry
from ocr_model.models import ModelConfig, build_model
from ocr_model.models.interface import PIXEL_MEAN, PIXEL_STD, RecognizerModel

WEIGHTS_FILE = "weights.safetensors"
MODEL_FILE = "model.json"
_FORMAT = 1
_FACTS_KEY = "reading_facts_sha256"
_READING_FACTS = (
    "model",
    "charset",
    "normalization",
    "geometry",
    "max_chars",
    "pixel_mean",
    "pixel_std",
)
"""What decides how weights of the same shapes read; the weights file has its hash."""


class BundleInfo(Config):
    """What `model.json` says."""

    model_config = ConfigDict(allow_inf_nan=True)  # metrics are what they are

    format: NonNegativeInt = _FORMAT
    """Version of the folder's layout."""
    model: ModelConfig
    charset: str
    """The vocabulary's characters, in the order of their class ids."""
    normalization: Normalization
    """Policy of the training labels; the model writes no other characters."""
    geometry: ImageGeometry
    max_chars: NonNegativeInt
    pixel_mean: tuple[float, float, float] = PIXEL_MEAN
    """RGB, of pixels in [0, 1]."""
    pixel_std: tuple[float, float, float] = PIXEL_STD
    temperature: PositiveFloat = 1.0
    """What logits are divided by, so that confidences are probabilities on the validation part."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """On the validation part, at the epoch that was kept."""
    provenance: dict[str, Any] = Field(default_factory=dict)
    """The training run's settings and what was in its data."""
    versions: dict[str, str] = Field(default_factory=dict)
    weights_bytes: NonNegativeInt = 0
    weights_sha256: str = ""


@dataclass(frozen=True)
class Bundle:
    """A loaded model with its facts."""

    info: BundleInfo
    model: RecognizerModel
    """In evaluation mode, on the CPU."""
    charset: Charset


def serialize_bundle(model: RecognizerModel, info: BundleInfo) -> dict[str, bytes]:
    """Return the files of a bundle by name; the caller decides where they are written."""
    state = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    facts = _facts_sha256(info.model_dump(mode="json"))
    weights = save_tensors(state, metadata={_FACTS_KEY: facts})
    complete = info.replace(
        versions={name: _version(name) for name in ("torch", "torchvision", "ocr-on-ray")},
        weights_bytes=len(weights),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    text = json.dumps(complete.model_dump(mode="json"), indent=2, ensure_ascii=False)
    return {WEIGHTS_FILE: weights, MODEL_FILE: text.encode()}


def load_bundle(path: str | Path) -> Bundle:
    """Load and verify a model folder.

    Raises:
        BundleError: A file is missing, cut short or altered; the format is newer than this
            program; or the weights are of another architecture (the differences are named).
    """
    folder = Path(path).expanduser()
    values = _read_description(folder)
    info = _understood(folder, values)
    weights = _read(folder / WEIGHTS_FILE)
    if len(weights) != info.weights_bytes:
        raise BundleError(
            f"{folder / WEIGHTS_FILE} has {len(weights)} bytes, {MODEL_FILE} says "
            f"{info.weights_bytes}: the file is cut short or of another bundle"
        )
    if hashlib.sha256(weights).hexdigest() != info.weights_sha256:
        raise BundleError(
            f"{folder / WEIGHTS_FILE} was altered: its SHA-256 differs from {MODEL_FILE}"
        )
    return _build(folder, values, info, weights, WEIGHTS_FILE)


def build_bundle(folder: Path, weights: bytes, name: str) -> Bundle:
    """Build the model of a folder with weights that were read and verified.

    Args:
        folder: Has the description.
        weights: A safetensors file.
        name: Its name in `folder`, for messages.

    Raises:
        BundleError: The description and the weights are not of one another.
    """
    values = _read_description(folder)
    return _build(folder, values, _understood(folder, values), weights, name)


def _build(
    folder: Path, values: dict[str, Any], info: BundleInfo, weights: bytes, name: str
) -> Bundle:
    if (info.pixel_mean, info.pixel_std) != (PIXEL_MEAN, PIXEL_STD):
        raise BundleError(f"{folder / MODEL_FILE}: no model here normalises pixels in that way")
    try:
        charset = Charset(info.charset)
        unpretrained = info.model.replace(pretrained=None)  # the weights are here already
        model = build_model(unpretrained, charset.num_classes, info.geometry)
    except ValueError as error:  # CharsetError, ConfigError, torch's own
        raise BundleError(f"{folder / MODEL_FILE}: {error}") from error
    try:
        state = load_tensors(weights)
    except SafetensorError as error:
        raise BundleError(f"{folder / name} holds no tensors: {error}") from error
    _require_same_shapes(folder, model.state_dict(), state)
    if weights_metadata(weights).get(_FACTS_KEY) != _facts_sha256(values):
        raise BundleError(
            f"{folder / MODEL_FILE} is not the description that {name} was written with: "
            f"one of {', '.join(_READING_FACTS)} was changed, and the model would read wrongly"
        )
    model.load_state_dict(state)
    return Bundle(info, model.eval(), charset)


def read_bundle_info(folder: str | Path) -> BundleInfo:
    """Read `model.json` only.

    Raises:
        BundleError: It is missing or not understood.
    """
    folder = Path(folder).expanduser()
    return _understood(folder, _read_description(folder))


def read_facts_sha256(folder: str | Path) -> str:
    """Hash what decides how the model of a folder reads; its exports must have the same.

    Raises:
        BundleError: `model.json` is missing or not understood.
    """
    return _facts_sha256(_read_description(Path(folder).expanduser()))


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / MODEL_FILE
    try:
        values = json.loads(_read(path))
    except ValueError as error:
        raise BundleError(f"{path} is not JSON: {error}") from error
    found = values.get("format") if isinstance(values, dict) else None
    if found != _FORMAT:
        raise BundleError(f"{path} has format {found!r}; this program reads format {_FORMAT}")
    return dict(values)


def _understood(folder: Path, values: dict[str, Any]) -> BundleInfo:
    try:
        return BundleInfo.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(explain(BundleInfo, error))
        raise BundleError(f"{folder / MODEL_FILE} is not understood: {faults}") from error


def _facts_sha256(values: dict[str, Any]) -> str:
    """Hash what the file says, not what it means here: a new setting must not change the hash."""
    facts = {name: values.get(name) for name in _READING_FACTS}
    model = facts["model"]
    if isinstance(model, dict):  # where a training began decides nothing afterwards
        facts["model"] = {key: value for key, value in model.items() if key != "pretrained"}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def weights_metadata(weights: bytes) -> dict[str, str]:
    """Return what stands in the head of a safetensors file: a length, then JSON."""
    end = 8 + int.from_bytes(weights[:8], "little")
    return dict(json.loads(weights[8:end]).get("__metadata__", {}))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"cannot read {path}: {error.strerror}. A bundle is a folder with {WEIGHTS_FILE} and "
            f"{MODEL_FILE}, such as jobs/train.py writes to <run.storage>/<run.name>/best"
        ) from error


def _require_same_shapes(
    folder: Path, expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]
) -> None:
    differences = [f"{name} is missing" for name in expected if name not in found]
    differences += [f"{name} is not in the model" for name in found if name not in expected]
    differences += [
        f"{name} is {tuple(found[name].shape)}, the model's {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]
    if differences:
        listed = "; ".join(differences[:5])
        raise BundleError(
            f"the weights in {folder} are of another architecture, {len(differences)} tensors "
            f"differ: {listed}"
        )


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"  # run from a source tree that is not installed
