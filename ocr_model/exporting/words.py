"""Which words an export is calibrated on, and on which others it is judged."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt8

from ocr_model.bundle import BundleInfo
from ocr_model.charset import Normalization
from ocr_model.data.fragments import SubsetIndex
from ocr_model.data.index import index_for_evaluation
from ocr_model.data.sources import DataConfig
from ocr_model.errors import DatasetError
from ocr_model.exporting.config import ExportConfig
from ocr_model.image import pad_image
from ocr_model.inference.evaluation import read_samples
from ocr_model.inference.options import UPRIGHT
from ocr_model.inference.preparing import prepare


@dataclass(frozen=True)
class Words:
    """Rows of a source; the two have none in common."""

    data: DataConfig
    calibration: SubsetIndex
    development: SubsetIndex


def choose_words(config: ExportConfig, normalization: Normalization) -> Words:
    """Divide a source as its own parts do, or else by chance.

    Raises:
        DatasetError: The source is missing, or has too few words to divide.
    """
    data, num_calibration = config.data, config.calibration_words
    num_development = config.development_words
    if data.sets_rows_apart or data.fragments("validation"):
        few = data.replace(
            limit=_fewer(data.limit, num_calibration),
            validation_limit=_fewer(data.validation_limit, num_development),
        )
        return Words(
            data,
            index_for_evaluation(few, "train", normalization),
            index_for_evaluation(few, "validation", normalization),
        )
    few = data.replace(limit=_fewer(data.limit, num_calibration + num_development))
    index = index_for_evaluation(few, None, normalization)
    num_calibration = min(num_calibration, index.num_rows // 2)
    if not num_calibration:
        raise DatasetError("one word cannot be divided in calibration and development: give more")
    order = np.random.default_rng(data.seed).permutation(index.num_rows)
    is_calibration = np.isin(np.arange(index.num_rows), order[:num_calibration])
    return Words(data, index.where(is_calibration), index.where(~is_calibration))


def calibration_batches(
    words: Words, info: BundleInfo, batch_size: int
) -> Iterator[tuple[UInt8[np.ndarray, "batch height width 3"], Int[np.ndarray, " batch"]]]:
    """Give the calibration words as the network sees them, and the widths of their content."""
    for start in range(0, words.calibration.num_rows, batch_size):
        samples = read_samples(words.data, words.calibration, start, batch_size)
        prepared = [
            prepare(image, info.geometry, UPRIGHT)
            for _, _, image, _ in samples
            if image is not None
        ]
        parts = [part for one in prepared for view in one.views for part in view.parts]
        if parts:
            images = np.stack([pad_image(part, info.geometry) for part in parts])
            yield images, np.array([part.shape[1] for part in parts])


def _fewer(limit: int | None, count: int) -> int:
    return count if limit is None else min(limit, count)
