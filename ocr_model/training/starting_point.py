"""Training that begins with the weights and the vocabulary of a bundle."""

from dataclasses import replace

import torch
from torch import Tensor

from ocr_model.bundle import load_bundle
from ocr_model.charset import Charset
from ocr_model.data.index import DatasetIndex
from ocr_model.errors import ConfigError
from ocr_model.models.interface import RecognizerModel
from ocr_model.models.residual_blocks import ResidualBlock


def adopt_charset(index: DatasetIndex, start_from: str | None) -> DatasetIndex:
    """Give data the vocabulary of the bundle that training begins with, if it begins with one.

    Raises:
        BundleError: The bundle is missing, incomplete or altered.
        ConfigError: The data has characters that the bundle's model has no classes for.
    """
    if start_from is None:
        return index
    charset = load_bundle(start_from).charset
    unknown = "".join(sorted(set(index.charset.characters) - set(charset.characters)))
    if unknown:
        raise ConfigError(
            f"the data has the characters {unknown!r}, which the model in "
            f"training.start_from={start_from} cannot write: choose a text.normalization without "
            "them, or begin with random weights"
        )
    return replace(index, charset=charset)


def take_weights(model: RecognizerModel, charset: Charset, start_from: str) -> None:
    """Copy the weights of a bundle into a model of its architecture, or of a deeper ResNet's.

    A `resnet18` begins as the `resnet10` did that it was given: blocks of it that the bundle does
    not have change nothing at first, as their last normalisation gives 0 (Goyal et al. 2017,
    "Accurate, Large Minibatch SGD", section 5.1).

    Raises:
        BundleError: The bundle is missing, incomplete or altered.
        ConfigError: The model is another one.
    """
    bundle = load_bundle(start_from)
    assert charset.characters == bundle.charset.characters, "the data must adopt the charset first"
    weights = bundle.model.state_dict()
    try:
        model.load_state_dict(_silent_blocks(model, weights) | weights)
    except RuntimeError as error:  # torch lists every tensor that does not fit
        listed = " ".join(str(error).split())[:300]
        raise ConfigError(
            f"training.start_from={start_from} is of another model than `model` and `image` "
            f"describe: {listed}"
        ) from error


def _silent_blocks(model: RecognizerModel, known: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of blocks that `known` has nothing of, such that they change nothing."""
    silent: dict[str, Tensor] = {}
    for path, block in model.named_modules():
        if not isinstance(block, ResidualBlock) or _has(known, path):
            continue
        own = block.state_dict()
        last = f"{block.last_norm}.weight"
        own[last] = torch.zeros_like(own[last])
        silent |= {f"{path}.{name}": tensor for name, tensor in own.items()}
    return silent


def _has(weights: dict[str, Tensor], path: str) -> bool:
    return any(name.startswith(f"{path}.") for name in weights)
