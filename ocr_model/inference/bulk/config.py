"""Settings of jobs/batch_ocr.py."""

from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from ocr_model.config import Config
from ocr_model.inference.outputs import OutputConfigs
from ocr_model.inference.reader_config import IN_THE_BOX, PageReaderConfig

InputKind = Literal["files", "uris", "table", "tar"]

_PAGES_PER_UNIT = 32  # half a minute of a CPU
_WORDS_PER_UNIT = 1_024  # two seconds of a CPU
_OF_WORDS = {"recognizer", "kind", "device", "precision", "second_look_below", "language"}


class PoolConfig(Config):
    """The processes that read, and what each may use."""

    cpus_per_reader: PositiveInt = 1
    """Also torch's threads in each. On a CPU, many readers of one thread are faster than few of
    many."""
    gpus_per_reader: NonNegativeFloat = 0.0
    """0.25: four processes share a GPU, so that some decode while others compute on it."""
    min_readers: PositiveInt = 1
    max_readers: PositiveInt | None = None
    """Between the two, the pool follows the work; null: as many as the cluster has room for."""
    fetchers: PositiveInt = 2
    """Tasks that download at a time, each several images."""
    fetches_at_once: PositiveInt = 16
    """Downloads under way in each."""


class BatchConfig(Config):
    """What is read, how, and where to."""

    input: str = Field(min_length=1)
    """A folder, a bucket's prefix (`s3://`, `gs://`, `az://`), a glob in either, a list of
    addresses (`.txt`, or `.parquet` with a column of them), Parquet tables that hold images, or tar
    shards. Credentials and endpoints are taken from the environment, as `AWS_*`, `GOOGLE_*` and
    `AZURE_*`."""
    input_kind: Literal["auto", "files", "uris", "table", "tar"] = "auto"
    """auto: by the input's ending, and a Parquet file's columns. A folder is of files."""
    column: str | None = None
    """Of a list in Parquet or a table; null: `uri`, or `image`."""
    sort_listing: bool = False
    """For stores that do not list their keys in order, such as S3's directory buckets: the whole
    listing is sorted on this machine's disk before the first image is read."""
    output: str = Field(min_length=1)
    """Folder or bucket prefix; the same command goes on in a begun one."""
    mode: Literal["pages", "words"] = "pages"
    """words: each image is one word, which is read without detection."""
    reader: PageReaderConfig = IN_THE_BOX
    outputs: OutputConfigs = ()
    """Files of each image besides the Parquet rows: `[json, hocr, alto, pdf]`."""
    jsonl: bool = False
    """Write the rows as lines of JSON too."""
    unit_images: PositiveInt | None = None
    """Images that are read and written together; what a crash costs at most, for each reader. null:
    32 pages, 1024 words."""
    shard_images: PositiveInt = 100_000
    """Images per file of the plan; the first files are smaller, so that reading begins at once."""
    max_image_bytes: PositiveInt = 200_000_000
    """Larger objects become rows with an error, and are not downloaded."""
    image_seconds: PositiveFloat = 120.0
    """An image that takes longer becomes a row with an error."""
    tries: PositiveInt = 3
    """An image that ends its process so often becomes a row with an error."""
    max_error_rate: float = Field(0.5, ge=0, le=1)
    """The run stops where more of its images than that have errors."""
    judged_from: PositiveInt = 500
    """Images after which max_error_rate is looked at."""
    pool: PoolConfig = PoolConfig()
    price_per_machine_hour: NonNegativeFloat | None = None
    """In any currency; the report then tells what a million images cost."""

    @model_validator(mode="after")
    def _settings_have_effect(self) -> "BatchConfig":
        if self.column is not None and self.input_kind in ("files", "tar"):
            raise ValueError(f"column={self.column} is of tables and lists only")
        if self.pool.max_readers is not None and self.pool.max_readers < self.pool.min_readers:
            raise ValueError(
                f"pool.max_readers={self.pool.max_readers} is below "
                f"pool.min_readers={self.pool.min_readers}"
            )
        if self.mode == "words":
            usual = IN_THE_BOX.replace(**{name: getattr(self.reader, name) for name in _OF_WORDS})
            if self.reader != usual or self.outputs:
                raise ValueError(
                    "mode=words has no pages: of reader, only "
                    f"{', '.join(sorted(_OF_WORDS))} have an effect, and outputs have none"
                )
        return self

    @property
    def images_per_unit(self) -> int:
        """Images that are read and written together."""
        usual = _PAGES_PER_UNIT if self.mode == "pages" else _WORDS_PER_UNIT
        return self.unit_images or usual

    def content(self) -> dict[str, Any]:
        """Return the settings that decide what the rows hold."""
        chosen = {"input", "input_kind", "column", "mode", "reader", "outputs", "jsonl"}
        return self.model_dump(mode="json", include=chosen, exclude={"reader": {"device"}})
