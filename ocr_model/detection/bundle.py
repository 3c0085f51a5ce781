"""A detector's folder: what `model.json` says of one, saved and loaded."""

from dataclasses import dataclass
from pathlib import Path

from ocr_model.detection.maps import DEFAULT_BOXES, BoxConfig
from ocr_model.detection.network import CompactNetwork, CompactNetworkConfig
from ocr_model.errors import BundleError
from ocr_model.model_folder import (
    ModelInfo,
    load_weights,
    read_description,
    read_weights,
    serialize_model,
    understood,
)
from ocr_model.weights import find_model

_FACTS = ("model", "pixel_mean", "pixel_std")


class DetectorInfo(ModelInfo):
    """What `model.json` says of a detector."""

    model: CompactNetworkConfig
    boxes: BoxConfig = DEFAULT_BOXES
    """The thresholds that its maps are read with."""


@dataclass(frozen=True)
class DetectorBundle:
    """A loaded network with its facts."""

    info: DetectorInfo
    network: CompactNetwork
    """In evaluation mode, on the CPU."""


def serialize_detector(network: CompactNetwork, info: DetectorInfo) -> dict[str, bytes]:
    """Return the files of a detector's folder by name; the caller decides where to write them."""
    return serialize_model(network, info, _FACTS)


def load_detector_bundle(path: str | Path) -> DetectorBundle:
    """Load and verify a detector's folder.

    Raises:
        BundleError: A file is missing, cut short or altered; it is of a recogniser; the format is
            newer than this program; or the weights are of another architecture.
    """
    folder = find_model(path)
    values = read_description(folder)
    if "charset" in values:
        raise BundleError(f"{folder} is a recogniser; a detector's folder is expected here")
    info = understood(DetectorInfo, folder, values)
    info.require_own_pixels(folder)
    weights = read_weights(folder, info.weights_bytes, info.weights_sha256)
    network = CompactNetwork(info.model)
    load_weights(network, folder, weights, values, _FACTS)
    return DetectorBundle(info, network)
