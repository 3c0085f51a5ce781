"""A model folder: `weights.safetensors` and `model.json`, all that use of a model needs.

Loading verifies size and hash of the weights, and that the description is the one they were
written with. It never unpickles anything.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import NonNegativeInt, PositiveFloat

from ocr_model.charset import Charset, Normalization
from ocr_model.errors import BundleError
from ocr_model.image import ImageGeometry
from ocr_model.model_folder import (
    MODEL_FILE,
    WEIGHTS_FILE,
    ModelInfo,
    facts_sha256,
    load_weights,
    read_description,
    read_weights,
    serialize_model,
    understood,
)
from ocr_model.models import ModelConfig, build_model
from ocr_model.models.interface import RecognizerModel
from ocr_model.weights import find_model

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


class BundleInfo(ModelInfo):
    """What `model.json` says of a recogniser."""

    model: ModelConfig
    charset: str
    """The vocabulary's characters, in the order of their class ids."""
    normalization: Normalization
    """Policy of the training labels; the model writes no other characters."""
    geometry: ImageGeometry
    max_chars: NonNegativeInt
    temperature: PositiveFloat = 1.0
    """What logits are divided by, so that confidences are probabilities on the validation part."""


@dataclass(frozen=True)
class Bundle:
    """A loaded model with its facts."""

    info: BundleInfo
    model: RecognizerModel
    """In evaluation mode, on the CPU."""
    charset: Charset


def serialize_bundle(model: RecognizerModel, info: BundleInfo) -> dict[str, bytes]:
    """Return the files of a bundle by name; the caller decides where they are written."""
    return serialize_model(model, info, _READING_FACTS)


def load_bundle(path: str | Path) -> Bundle:
    """Load and verify a model folder.

    Raises:
        BundleError: A file is missing, cut short or altered; the format is newer than this
            program; or the weights are of another architecture (the differences are named).
    """
    folder = find_model(path)
    values = _read_recognizers(folder)
    info = understood(BundleInfo, folder, values)
    weights = read_weights(folder, info.weights_bytes, info.weights_sha256)
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
    values = _read_recognizers(folder)
    return _build(folder, values, understood(BundleInfo, folder, values), weights, name)


def _build(
    folder: Path, values: dict[str, Any], info: BundleInfo, weights: bytes, name: str
) -> Bundle:
    info.require_own_pixels(folder)
    try:
        charset = Charset(info.charset)
        unpretrained = info.model.replace(pretrained=None)  # the weights are here already
        model = build_model(unpretrained, charset.num_classes, info.geometry)
    except ValueError as error:  # CharsetError, ConfigError, torch's own
        raise BundleError(f"{folder / MODEL_FILE}: {error}") from error
    load_weights(model, folder, weights, values, _READING_FACTS, name=name)
    return Bundle(info, model, charset)


def _read_recognizers(folder: Path) -> dict[str, Any]:
    values = read_description(folder)
    if "boxes" in values:
        raise BundleError(f"{folder} is a detector; a recogniser's folder is expected here")
    return values


def read_bundle_info(folder: str | Path) -> BundleInfo:
    """Read `model.json` only.

    Raises:
        BundleError: It is missing or not understood.
    """
    folder = find_model(folder)
    return understood(BundleInfo, folder, _read_recognizers(folder))


def read_facts_sha256(folder: str | Path) -> str:
    """Hash what decides how the model of a folder reads; its exports must have the same.

    Raises:
        BundleError: `model.json` is missing or not understood.
    """
    return facts_sha256(read_description(find_model(folder)), _READING_FACTS)
