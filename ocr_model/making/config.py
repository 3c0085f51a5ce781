"""Settings of jobs/make_dataset.py."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from ocr_model.config import Config
from ocr_model.data.source_config import Subset
from ocr_model.data.sources import DataConfig
from ocr_model.data.synthetic.source import SyntheticSource

_JPEG_QUALITY = 95


class MakeDatasetConfig(Config):
    """What is made, and where."""

    data: DataConfig = SyntheticSource(validation_limit=None)
    """Any source. Unlike training, all validation rows are taken where data.validation_limit does
    not say otherwise."""
    output: str = Field("runs/dataset", min_length=1)
    """Folder or bucket prefix of the new dataset; the same command goes on in a begun one."""
    subset: Literal["all", "train", "validation"] = "all"
    rows_per_shard: PositiveInt = 5_000
    """Rows of the source per Parquet file: 37 MB of rendered words as PNG. A task holds its file in
    memory."""
    image_format: Literal["png", "jpeg"] | None = None
    """How pixels are encoded; null: png. Images that a source has encoded are passed through."""
    quality: int | None = Field(None, ge=1, le=100)
    """Of jpeg; null: 95."""
    verify: bool = True
    """Decode every encoded image, and drop and count what is not a picture. Without it, only
    missing and empty ones are."""
    max_tasks: PositiveInt | None = None
    """Shards given to the cluster at a time; null: two per CPU, so that none waits for work, and an
    autoscaler sees that there is more."""
    num_shown: PositiveInt = Field(64, le=400)
    """Samples on the contact sheet."""

    @field_validator("data", mode="before")
    @classmethod
    def _all_of_validation(cls, value: object) -> object:
        return {"validation_limit": None, **value} if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    def _encoding_has_effect(self) -> "MakeDatasetConfig":
        if self.image_format is not None and not isinstance(self.data, SyntheticSource):
            raise ValueError(
                f"image_format={self.image_format}: data.source={self.data.source} has encoded "
                "images, which are passed through untouched"
            )
        if self.quality is not None and self.image_format != "jpeg":
            raise ValueError(f"quality={self.quality} is of image_format=jpeg only")
        return self

    @property
    def subsets(self) -> tuple[Subset, ...]:
        """The subsets that are wanted."""
        return ("train", "validation") if self.subset == "all" else (self.subset,)

    @property
    def jpeg_quality(self) -> int | None:
        """Of pixels; None: they become PNG."""
        return (self.quality or _JPEG_QUALITY) if self.image_format == "jpeg" else None

    def content(self) -> dict[str, Any]:
        """Return the settings that decide what the files hold."""
        return self.model_dump(mode="json", exclude={"output", "max_tasks", "num_shown"})
