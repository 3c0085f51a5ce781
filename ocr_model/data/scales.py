"""Named schedules of the sizes that one run trains on."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from ocr_model.config import Config

Size = tuple[PositiveInt, PositiveInt]
"""Height and width in pixels."""


class ScaleSchedule(Config):
    """Base of the schedules: `image.height` and `image.width` throughout."""

    def all_sizes(self) -> tuple[Size, ...]:
        """Return the sizes beside the image's own that may come."""
        return ()

    def size(self, seed: int, epoch: int, step: int, num_epochs: int) -> Size | None:
        """Return the size of a step's images; None where it is the image's own."""
        return None


class OneSize(ScaleSchedule):
    """No other sizes."""

    name: Literal["one_size"] = "one_size"


class DrawnSizes(ScaleSchedule):
    """Each step draws its size, the same on all ranks."""

    name: Literal["drawn"]
    sizes: tuple[Size, ...] = Field(min_length=2)
    """Height and width of each; all equally often. The batch size stays: the largest decides how
    much memory a run takes."""

    def all_sizes(self) -> tuple[Size, ...]:
        """Return the sizes beside the image's own that may come."""
        return self.sizes

    def size(self, seed: int, epoch: int, step: int, num_epochs: int) -> Size | None:
        """Return the size of a step's images; None where it is the image's own."""
        rng = np.random.default_rng([seed, epoch, step, 1])  # 1: not the numbers of the order
        return self.sizes[int(rng.integers(len(self.sizes)))]


class RisingSizes(ScaleSchedule):
    """Each size in turn for an equal number of epochs, at last the image's own."""

    name: Literal["rising"]
    sizes: tuple[Size, ...] = Field(min_length=1)
    """Height and width of each but the last, which is `image.height` and `image.width`."""

    def all_sizes(self) -> tuple[Size, ...]:
        """Return the sizes beside the image's own that may come."""
        return self.sizes

    def size(self, seed: int, epoch: int, step: int, num_epochs: int) -> Size | None:
        """Return the size of a step's images; None where it is the image's own."""
        place = epoch * (len(self.sizes) + 1) // max(num_epochs, 1)
        return self.sizes[place] if place < len(self.sizes) else None


ScalesConfig = Annotated[OneSize | DrawnSizes | RisingSizes, Field(discriminator="name")]
