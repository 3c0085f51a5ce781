"""What is read from a source of any kind."""

from collections.abc import Callable

import numpy as np
import pytest

from ocr_model.data.fragments import Sample
from ocr_model.data.source_config import SourceConfig, Subset


@pytest.fixture(scope="session")
def samples_of() -> Callable[..., list[Sample]]:
    """Return a function of a source, a subset and an epoch: all samples, in their order."""

    def read(source: SourceConfig, subset: Subset = "train", epoch: int = 0) -> list[Sample]:
        return [
            sample
            for part in source.fragments(subset)
            for sample in source.read(part, np.arange(part.num_rows), epoch=epoch)
        ]

    return read


@pytest.fixture(scope="session")
def labels_of() -> Callable[..., list[str | None]]:
    """Return a function of a source and a subset: all labels, in their order."""

    def read(source: SourceConfig, subset: Subset = "train") -> list[str | None]:
        return [label for part in source.fragments(subset) for label in source.labels(part)]

    return read
