"""CRAFT's weights: found, fetched by EasyOCR's own download, and put into EasyOCR's network."""

import logging
import zlib
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile

import torch
from pydantic import Field
from torch import Tensor, nn

from ocr_model.config import Config
from ocr_model.errors import BundleError

_WAYS_OUT = (
    "Run jobs/fetch_models.py on a machine with a network and give its folder as "
    "reader.detector.weights=PATH, or choose the detector that needs no download: "
    "reader.detector.name=compact"
)
_DOWNLOAD_FAULTS = (
    OSError,  # no network, no such address, no space
    HTTPException,
    BadZipFile,
    zlib.error,
    EOFError,  # an archive cut short
    KeyError,  # an archive without the file
    RuntimeError,  # an archive that is encrypted
    ValueError,  # no address
)
_COUNTER = "num_batches_tracked"  # of training only; old files lack it

logger = logging.getLogger(__name__)


class FetchConfig(Config):
    """Settings of jobs/fetch_models.py."""

    folder: str | None = None
    """Where the weights are put; none: EasyOCR's own folder, which its variable
    `EASYOCR_MODULE_PATH` may name."""
    url: str | None = None
    """A zip archive with `craft_mlt_25k.pth`; none: EasyOCR's. Any scheme that urllib knows."""
    md5: str | None = Field(None, pattern="^[0-9a-f]{32}$")
    """Of the file in the archive; none: that of EasyOCR's weights."""


def fetch_craft(config: FetchConfig) -> Path:
    """Return the weights' path, after a download where they are not there or altered.

    EasyOCR's code downloads and unpacks; the file then appears whole or not at all.

    Raises:
        BundleError: They cannot be had, or are not those that the MD5 says.
    """
    from easyocr.utils import calculate_md5, download_and_unzip  # noqa: PLC0415  # takes seconds

    model, default_folder = _easyocrs()
    url, md5 = config.url or model["url"], config.md5 or model["md5sum"]
    folder = Path(config.folder).expanduser() if config.folder else default_folder
    path = folder / model["filename"]
    if path.is_file() and calculate_md5(path) == md5:
        return path
    logger.warning("fetching CRAFT's weights to %s", path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".fetching-") as unfinished:
            download_and_unzip(url, path.name, unfinished, verbose=False)
            fetched = Path(unfinished) / path.name
            found = calculate_md5(fetched)
            if found != md5:
                raise BundleError(
                    f"{path.name} from {url} has MD5 {found}, expected {md5}: it is damaged, or "
                    f"not these weights. {_WAYS_OUT}"
                )
            fetched.replace(path)
    except _DOWNLOAD_FAULTS as error:
        raise BundleError(
            f"CRAFT's weights are not at {path} and cannot be had from {url} "
            f"({type(error).__name__}: {error}). {_WAYS_OUT}"
        ) from error
    return path


def find_craft(weights: str | None) -> Path:
    """Return the file of a setting: a file, a folder with EasyOCR's file in it, or none.

    Raises:
        BundleError: It is not there, or cannot be had.
    """
    if weights is None:
        return fetch_craft(FetchConfig())
    path = Path(weights).expanduser()
    if path.is_dir():
        path /= _easyocrs()[0]["filename"]
    if not path.is_file():
        raise BundleError(f"there are no weights of CRAFT at {path}. {_WAYS_OUT}")
    return path


def load_craft(path: Path) -> nn.Module:
    """Return EasyOCR's network with the weights of a file, on the CPU, in evaluation mode.

    Nothing but tensors is unpickled.

    Raises:
        BundleError: The file is damaged, or of another network.
    """
    from easyocr.craft import CRAFT  # noqa: PLC0415  # takes seconds

    found = _read(path)
    with torch.device("meta"):  # filling it with random weights would take seconds
        network: nn.Module = CRAFT()
    expected = network.state_dict()
    state = {name: torch.tensor(0) for name in expected if name.endswith(_COUNTER)}
    state |= {name.removeprefix("module."): value for name, value in found.items()}
    _require_alike(path, expected, state)
    converted = {name: value.to(expected[name].dtype) for name, value in state.items()}
    network.load_state_dict(converted, assign=True)
    return network.eval()


def _easyocrs() -> tuple[dict[str, str], Path]:
    """Return what EasyOCR knows of CRAFT's weights, and the folder where it keeps them."""
    from easyocr.config import MODULE_PATH, detection_models  # noqa: PLC0415  # takes seconds

    return detection_models["craft"], Path(MODULE_PATH) / "model"


def _read(path: Path) -> dict[str, Tensor]:
    try:
        state: object = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a border: unpickling raises anything
        reason = str(error).partition("\n")[0]
        raise BundleError(
            f"{path} cannot be read as weights ({type(error).__name__}: {reason}): it is damaged, "
            "or no file that torch.save wrote of tensors only"
        ) from error
    values = state if isinstance(state, dict) else {}
    if not values or not all(isinstance(value, Tensor) for value in values.values()):
        raise BundleError(f"{path} holds {type(state).__name__}, expected tensors by name")
    return {str(name): value for name, value in values.items()}


def _require_alike(path: Path, expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    faults = [f"{name} is missing" for name in expected if name not in found]
    faults += [f"{name} is not in the network" for name in found if name not in expected]
    for name, tensor in found.items():
        if name in expected and tensor.shape != expected[name].shape:
            shapes = f"{tuple(tensor.shape)}, the network's {tuple(expected[name].shape)}"
            faults.append(f"{name} is {shapes}")
        elif not torch.isfinite(tensor).all():
            faults.append(f"{name} has values that are not finite")
    if faults:
        raise BundleError(
            f"{path} does not hold CRAFT's weights; of its tensors {len(faults)} do not fit: "
            + "; ".join(faults[:3])
        )
