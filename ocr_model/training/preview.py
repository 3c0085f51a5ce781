"""A sheet of training words as they are and as the network will see them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field, PositiveInt

from ocr_model.charset import normalize
from ocr_model.config import Config
from ocr_model.data.fragments import Fragment, Rows, Sample
from ocr_model.data.labels import scan_fragment
from ocr_model.data.loading import distort
from ocr_model.errors import ConfigError, DatasetError, ImageError
from ocr_model.image import ModelInput, Pixels, decode_image
from ocr_model.training.config import TrainConfig
from ocr_model.visualize.words import draw_versions


class SheetConfig(Config):
    """What the sheet shows and where it goes."""

    output: str = Field("runs/preview.png", min_length=1)
    num_words: PositiveInt = 8
    num_versions: PositiveInt = 5
    """Version k of a stored word is what epoch k trains on."""


class PreviewConfig(TrainConfig):
    """Settings of a training run, and of the sheet; `data.seed` decides which words it shows."""

    preview: SheetConfig = SheetConfig()


@dataclass(frozen=True)
class WordVersions:
    """A word before and after augmentation."""

    label: str
    """Normalised, as it is trained on."""
    original: Pixels | None
    versions: list[ModelInput]
    error: str = ""
    """Why there is no picture."""


def write_preview(config: PreviewConfig) -> Path:
    """Draw the sheet and return where it lies.

    Raises:
        ConfigError: The output cannot be written.
        DatasetError: The dataset is missing or has no usable word.
    """
    words = [_versions(config, *word) for word in _pick_words(config)]
    path = Path(config.preview.output).expanduser()
    sheet = draw_versions(
        [word.label for word in words],
        [
            [image for image in (word.original, *word.versions) if image is not None]
            for word in words
        ],
        errors=[word.error for word in words],
        titles=[
            "original",
            *(f"epoch {epoch + 1}" for epoch in range(config.preview.num_versions)),
        ],
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(sheet)
    except OSError as error:
        raise ConfigError(f"cannot write preview.output {path}: {error.strerror}") from error
    return path


def _pick_words(config: PreviewConfig) -> Iterator[tuple[Fragment, int, Sample]]:
    """Yield words of the training part: from few fragments, as all labels may be millions."""
    missing, dropped = config.preview.num_words, Counter[str]()
    rng = np.random.default_rng(config.data.seed)
    fragments = config.data.fragments("train")
    for number in rng.permutation(len(fragments)):
        scan = scan_fragment(
            fragments[number],
            source=config.data,
            text=config.text,
            num_columns=config.model.num_columns(config.image.width),
            keep_all=False,
        )
        dropped.update(scan.dropped)
        rows: Rows = rng.permutation(scan.rows[~scan.is_validation])[:missing]
        samples = config.data.read(scan.fragment, rows, epoch=0)
        yield from ((scan.fragment, int(r), s) for r, s in zip(rows, samples, strict=True))
        missing -= len(rows)
        if not missing:
            return
    if missing == config.preview.num_words:
        raise DatasetError(f"the train part has no usable sample; dropped {dict(dropped)}")


def _versions(config: PreviewConfig, fragment: Fragment, row: int, sample: Sample) -> WordVersions:
    label = normalize(sample.label or "", config.text.normalization)
    try:
        if sample.image is None:
            return WordVersions(label, None, [], sample.error)
        pixels = decode_image(sample.image)
    except ImageError as error:
        return WordVersions(label, None, [], str(error))
    versions = []
    for epoch in range(config.preview.num_versions):
        strength = config.curriculum.strength(epoch, config.training.epochs)
        augmentation = config.augmentation.eased(strength)
        key = (config.training.seed, epoch, fragment.key, row)
        versions.append(distort(pixels, config.image, augmentation, key)[0])
    return WordVersions(label, pixels, versions)
