"""Other kinds of a bundle's model, each in a subfolder: `half`, `onnx`, `int8`.

Each subfolder has an `export.json` that says of which weights it was made, and sizes and hashes of
its files. Loading verifies all of them; nothing is unpickled.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, ValidationError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from ocr_model.bundle import (
    Bundle,
    BundleInfo,
    build_bundle,
    read_bundle_info,
    read_facts_sha256,
)
from ocr_model.config import Config, explain
from ocr_model.errors import BundleError
from ocr_model.model_folder import WEIGHTS_FILE, halved, weights_metadata
from ocr_model.weights import find_model

ExportKind = Literal["onnx", "int8", "half"]
Kind = Literal["torch", "half", "onnx", "int8"]
"""How a bundle is loaded: `torch` is its own weights, the others are made of them."""

EXPORT_FILE = "export.json"
HALF_FILE = "weights.half.safetensors"
_FORMAT = 1


class FileInfo(Config):
    """One file of an export."""

    bytes: NonNegativeInt
    sha256: str


class ExportInfo(Config):
    """What `export.json` says."""

    format: NonNegativeInt = _FORMAT
    kind: ExportKind
    weights_sha256: str
    """Of the bundle's own weights, of which the files were made."""
    facts_sha256: str
    """Of what else decides how the model reads: charset, image size and so on."""
    files: dict[str, FileInfo]
    figures: dict[str, Any] = Field(default_factory=dict)
    """What was measured when it was made."""
    versions: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True)
class Export:
    """A verified export."""

    info: ExportInfo
    bundle_info: BundleInfo
    files: dict[str, bytes]


def serialize_export(
    folder: Path,
    kind: ExportKind,
    files: dict[str, bytes],
    figures: dict[str, Any],
    versions: dict[str, str],
) -> dict[str, bytes]:
    """Return the files of an export of `folder` by name, `export.json` last."""
    info = ExportInfo(
        kind=kind,
        weights_sha256=read_bundle_info(folder).weights_sha256,
        facts_sha256=read_facts_sha256(folder),
        files={
            name: FileInfo(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            for name, data in files.items()
        },
        figures=figures,
        versions=versions,
    )
    text = json.dumps(info.model_dump(mode="json"), indent=2, ensure_ascii=False)
    return {**files, EXPORT_FILE: text.encode()}


def load_export(path: str | Path, kind: ExportKind) -> Export:
    """Load and verify one kind of a bundle; the bundle's own weights need not be there.

    Raises:
        BundleError: The bundle has no such kind (the command that makes it is named), a file is
            missing, cut short or altered, or it was made of other weights.
    """
    folder = find_model(path)
    bundle_info = read_bundle_info(folder)
    info = _read_info(folder, kind)
    made_of = (info.weights_sha256, info.facts_sha256)
    if made_of != (bundle_info.weights_sha256, read_facts_sha256(folder)):
        raise BundleError(
            f"{folder / kind} was made of another bundle than the one in {folder}; "
            + _command(folder, kind)
        )
    files = {
        name: _read_verified(folder, kind, name, expected) for name, expected in info.files.items()
    }
    return Export(info, bundle_info, files)


def halve(weights: bytes) -> bytes:
    """Return a safetensors file in half precision, about half as large; see `halved`."""
    state = {name: halved(tensor) for name, tensor in load_tensors(weights).items()}
    return save_tensors(state, metadata=weights_metadata(weights))


def load_half(path: str | Path) -> Bundle:
    """Load the half-precision weights of a bundle, to compute in fp32.

    Raises:
        BundleError: As `load_export`.
    """
    folder = find_model(path)
    files = load_export(folder, "half").files
    return build_bundle(folder, files[HALF_FILE], f"half/{HALF_FILE}")


def read_weights(folder: Path) -> bytes:
    """Return a bundle's own weights."""
    return (folder / WEIGHTS_FILE).read_bytes()


def _read_info(folder: Path, kind: ExportKind) -> ExportInfo:
    path = folder / kind / EXPORT_FILE
    try:
        values = json.loads(path.read_bytes())
    except OSError as error:
        raise BundleError(
            f"{folder} has no {kind!r} model ({path}: {error.strerror}); {_command(folder, kind)}"
        ) from error
    except ValueError as error:
        raise BundleError(f"{path} is not JSON ({error}); {_command(folder, kind)}") from error
    found = values.get("format") if isinstance(values, dict) else None
    if found != _FORMAT:
        raise BundleError(f"{path} has format {found!r}; this program reads format {_FORMAT}")
    try:
        return ExportInfo.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(explain(ExportInfo, error))
        raise BundleError(f"{path} is not understood: {faults}") from error


def _read_verified(folder: Path, kind: ExportKind, name: str, expected: FileInfo) -> bytes:
    path = folder / kind / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"cannot read {path}: {error.strerror}; {_command(folder, kind)}"
        ) from error
    if len(data) != expected.bytes:
        raise BundleError(
            f"{path} has {len(data)} bytes, {EXPORT_FILE} says {expected.bytes}: the file is cut "
            f"short or of another export; {_command(folder, kind)}"
        )
    if hashlib.sha256(data).hexdigest() != expected.sha256:
        raise BundleError(
            f"{path} was altered: its SHA-256 differs from {EXPORT_FILE}; {_command(folder, kind)}"
        )
    return data


def _command(folder: Path, kind: ExportKind) -> str:
    return f"make it by: jobs/export.py --set model={folder} kinds=[{kind}]"
