"""The folder of any model: `weights.safetensors` and `model.json`, written and verified.

`bundle.py` says what a recogniser's holds, `detection/bundle.py` what a detector's does.
"""

import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import ConfigDict, Field, NonNegativeInt, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from ocr_model.config import Config, explain
from ocr_model.errors import BundleError
from ocr_model.models.interface import PIXEL_MEAN, PIXEL_STD

WEIGHTS_FILE = "weights.safetensors"
MODEL_FILE = "model.json"
FORMAT = 1
"""Of the folder's layout."""

_FACTS_KEY = "reading_facts_sha256"

Info = TypeVar("Info", bound=Config)


class ModelInfo(Config):
    """What `model.json` says of any model."""

    model_config = ConfigDict(allow_inf_nan=True)  # metrics are what they are

    format: NonNegativeInt = FORMAT
    """Version of the folder's layout."""
    pixel_mean: tuple[float, float, float] = PIXEL_MEAN
    """RGB, of pixels in [0, 1]."""
    pixel_std: tuple[float, float, float] = PIXEL_STD
    metrics: dict[str, float] = Field(default_factory=dict)
    """On the validation part, at the epoch that was kept."""
    provenance: dict[str, Any] = Field(default_factory=dict)
    """The training run's settings and what was in its data."""
    versions: dict[str, str] = Field(default_factory=dict)
    weights_bytes: NonNegativeInt = 0
    weights_sha256: str = ""

    def require_own_pixels(self, folder: Path) -> None:
        """Refuse pixels that are normalised in another way than all models here do.

        Raises:
            BundleError: They are.
        """
        if (self.pixel_mean, self.pixel_std) != (PIXEL_MEAN, PIXEL_STD):
            raise BundleError(f"{folder / MODEL_FILE}: no model here normalises pixels in that way")


def halved(tensor: torch.Tensor) -> torch.Tensor:
    """Return a matrix or filter in half precision.

    Biases and statistics of normalisation, which take no room, stay as they are, and so does what
    half precision cannot hold.
    """
    if not tensor.is_floating_point() or tensor.dim() < 2:
        return tensor
    half = tensor.half()
    return half if torch.isfinite(half).all() else tensor


def round_to_half(model: nn.Module) -> None:
    """Give a model the weights that it would have after being stored in half precision."""
    model.load_state_dict({name: halved(tensor) for name, tensor in model.state_dict().items()})


def serialize_model(model: nn.Module, info: ModelInfo, facts: Sequence[str]) -> dict[str, bytes]:
    """Return the files of a model's folder by name.

    Weights that half precision holds exactly, as those of `round_to_half`, are stored in it.

    Args:
        model: Its weights.
        info: What `model.json` is to say; `versions`, `weights_bytes` and `weights_sha256` are
            filled in.
        facts: Names of those settings that decide what weights of the same shapes compute; the
            weights file gets their hash.
    """
    state = {name: _stored(tensor) for name, tensor in model.state_dict().items()}
    digest = facts_sha256(info.model_dump(mode="json"), facts)
    weights = save_tensors(state, metadata={_FACTS_KEY: digest})
    complete = info.replace(
        versions={name: _version(name) for name in ("torch", "torchvision", "ocr-on-ray")},
        weights_bytes=len(weights),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    text = json.dumps(complete.model_dump(mode="json"), indent=2, ensure_ascii=False)
    return {WEIGHTS_FILE: weights, MODEL_FILE: text.encode()}


def read_description(folder: Path) -> dict[str, Any]:
    """Read `model.json` as it stands.

    Raises:
        BundleError: It is missing, not JSON, or of another format.
    """
    path = folder / MODEL_FILE
    try:
        values = json.loads(_read(path))
    except ValueError as error:
        raise BundleError(f"{path} is not JSON: {error}") from error
    found = values.get("format") if isinstance(values, dict) else None
    if found != FORMAT:
        raise BundleError(f"{path} has format {found!r}; this program reads format {FORMAT}")
    return dict(values)


def understood(cls: type[Info], folder: Path, values: dict[str, Any]) -> Info:
    """Check what `model.json` says.

    Raises:
        BundleError: There are unknown, missing or impossible values; all are named.
    """
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(explain(cls, error))
        raise BundleError(f"{folder / MODEL_FILE} is not understood: {faults}") from error


def read_weights(folder: Path, num_bytes: int, sha256: str) -> bytes:
    """Read and verify the weights file.

    Raises:
        BundleError: It is missing, cut short, or altered.
    """
    weights = _read(folder / WEIGHTS_FILE)
    if len(weights) != num_bytes:
        raise BundleError(
            f"{folder / WEIGHTS_FILE} has {len(weights)} bytes, {MODEL_FILE} says "
            f"{num_bytes}: the file is cut short or of another bundle"
        )
    if hashlib.sha256(weights).hexdigest() != sha256:
        raise BundleError(
            f"{folder / WEIGHTS_FILE} was altered: its SHA-256 differs from {MODEL_FILE}"
        )
    return weights


def load_weights(
    model: nn.Module,
    folder: Path,
    weights: bytes,
    values: dict[str, Any],
    facts: Sequence[str],
    *,
    name: str = WEIGHTS_FILE,
) -> None:
    """Put weights into a model, and it into evaluation mode.

    Args:
        model: Built as the description says.
        folder: Where both come from, for messages.
        weights: A safetensors file, read and verified.
        values: The description as it stands.
        facts: As `serialize_model` had them.
        name: Of the weights' file, for messages.

    Raises:
        BundleError: The description and the weights are not of one another.
    """
    try:
        state = load_tensors(weights)
    except SafetensorError as error:
        raise BundleError(f"{folder / name} holds no tensors: {error}") from error
    _require_same_shapes(folder, model.state_dict(), state)
    if weights_metadata(weights).get(_FACTS_KEY) != facts_sha256(values, facts):
        raise BundleError(
            f"{folder / MODEL_FILE} is not the description that {name} was written with: "
            f"one of {', '.join(facts)} was changed, and the model would read wrongly"
        )
    model.load_state_dict(state)
    model.eval()


def _stored(tensor: torch.Tensor) -> torch.Tensor:
    half = halved(tensor)
    is_exact = half.dtype != tensor.dtype and torch.equal(half.to(tensor.dtype), tensor)
    return (half if is_exact else tensor).contiguous().cpu()


def facts_sha256(values: dict[str, Any], names: Sequence[str]) -> str:
    """Hash what the file says, not what it means here: a new setting must not change the hash."""
    facts = {name: values.get(name) for name in names}
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
            f"{MODEL_FILE}, such as jobs/train.py and jobs/train_detector.py write to "
            "<run.storage>/<run.name>/best"
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
