"""`ServeConfig`: the whole application in one typed description; `args` of `deploy.yaml`."""

from collections.abc import Mapping
from typing import Any

from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from ocr_model.config import Config, explain
from ocr_model.devices import Precision
from ocr_model.errors import ConfigError
from ocr_model.exports import Kind
from ocr_model.inference.reader_config import CompactReaderConfig, DetectorConfig, ReadingConfig
from ocr_model.weights import RECOGNIZER

from .limits import AccessConfig, BatchesConfig, LimitsConfig


class ReplicasConfig(Config):
    """How many processes a deployment has, and what each takes."""

    min_replicas: PositiveInt = 1
    max_replicas: PositiveInt = 1
    """Above the least, their number follows `target_ongoing_requests`."""
    num_cpus: PositiveFloat = 0.3
    """Logical, for placing; threads are those of OMP_NUM_THREADS. All must fit on 2 CPUs, beside
    the 1.25 that a job of `/v1/batches` takes at least."""
    num_gpus: float = Field(0.0, ge=0)
    """A fraction lets several share one; more than one are whole."""
    max_ongoing_requests: PositiveInt = 64
    """That one replica holds at a time."""
    max_queued_requests: int = Field(256, ge=-1)
    """Of one caller, beyond what the replicas hold; then the request is refused."""
    target_ongoing_requests: PositiveFloat = 2.0
    """By replica, on the average: more start above it."""
    upscale_delay_seconds: PositiveFloat = 10.0
    downscale_delay_seconds: PositiveFloat = 300.0
    drain_seconds: PositiveFloat | None = None
    """That a replica which is to stop has for what it holds, and no longer than that takes. null:
    `limits.max_seconds`, the longest that an answer may take."""

    @field_validator("num_gpus")
    @classmethod
    def _more_than_one_are_whole(cls, num_gpus: float) -> float:
        if num_gpus > 1 and not num_gpus.is_integer():
            raise ValueError(f"a fraction of a GPU or whole ones, got {num_gpus}")
        return num_gpus

    @model_validator(mode="after")
    def _least_is_least(self) -> "ReplicasConfig":
        if self.max_replicas < self.min_replicas:
            raise ValueError(
                f"max_replicas={self.max_replicas} is below min_replicas={self.min_replicas}"
            )
        return self


class IngressReplicas(ReplicasConfig):
    """Of the ingress, which computes little."""

    num_cpus: PositiveFloat = 0.1
    max_ongoing_requests: PositiveInt = 1024
    """Far above `limits.max_requests`: it is the ingress that refuses, with a problem document."""
    max_queued_requests: int = Field(-1, ge=-1)
    target_ongoing_requests: PositiveFloat = 64.0


class ModelChoice(Config):
    """A recogniser that can be asked for."""

    bundle: str = RECOGNIZER
    """Folder of a bundle, or one in the box."""
    kind: Kind = "torch"
    """How it is run: `torch`, or one that jobs/export.py has made of it."""


class WordsConfig(ReplicasConfig):
    """The recogniser's deployment."""

    max_queued_requests: int = Field(-1, ge=-1)
    """A page whose words have been found is not refused."""

    batch_words: PositiveInt = 48
    """Of the model's full width, that are taken out of the queue at a time, and read in one or two
    batches; of narrower ones, as many more as have as many pixels when padded: of IIIT5K's some
    150. Fewer read slower, more make words wait longer: docs/benchmarks.md. Where many small
    requests should fill more, `calls_under_way` has to rise with it."""
    calls_under_way: PositiveInt | None = None
    """From one replica of the ingress, of about 64 words each, 128 where many wait: what comes
    meanwhile goes together in the next. null: two for each of `max_replicas`: one is computed while
    the next, if 33 words wait, waits there. What comes while several replicas are free is divided
    among them, in parts of like width, of about 16 words or more. With fewer, more replicas are
    never started, as Ray counts calls, and not the words that wait for one."""
    device: str | None = None
    """Such as `cpu` or `cuda`; null: a GPU where the replica was given one."""
    precision: Precision = "auto"

    @property
    def num_calls(self) -> int:
        """How many calls are under way, where nothing is said too."""
        return self.calls_under_way or 2 * self.max_replicas


class PagesConfig(ReplicasConfig):
    """The detector's deployment."""

    max_ongoing_requests: PositiveInt = 4
    """Pages that one replica holds: while the words of one are read, the next is searched."""
    max_queued_requests: int = Field(64, ge=-1)
    target_ongoing_requests: PositiveFloat = 3.0
    batch_pixels: PositiveInt = 1_000_000
    """Of pages that are searched together. More is no faster on a CPU, and words are read later;
    for a GPU set some 8,000,000."""
    threads_alone: PositiveInt = 4
    """Of the search of a page that no other is read beside in this replica; at most as many as
    there are CPUs. Others have OMP_NUM_THREADS."""
    detector: DetectorConfig = CompactReaderConfig()
    device: str | None = None
    precision: Precision = "auto"
    reading: ReadingConfig = ReadingConfig()


class ModelsConfig(Config):
    """Which recognisers there are: the `user_config` of the deployment `words`.

    Ray Serve hands a change of it to running replicas, so no request is dropped; a change of the
    application's `args` starts new ones.
    """

    models: dict[str, ModelChoice] = Field({"compact": ModelChoice()}, min_length=1)
    """By the names that callers use."""
    default_model: str = "compact"

    @model_validator(mode="after")
    def _default_is_known(self) -> "ModelsConfig":
        if self.default_model not in self.models:
            raise ValueError(
                f"default_model={self.default_model!r} is none of models: {', '.join(self.models)}"
            )
        return self


class ServeConfig(Config):
    """The application, but for its models."""

    ingress: IngressReplicas = IngressReplicas()
    words: WordsConfig = WordsConfig()
    pages: PagesConfig = PagesConfig()
    limits: LimitsConfig = LimitsConfig()
    access: AccessConfig = AccessConfig()
    batches: BatchesConfig = BatchesConfig()
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")


def serve_config(args: Mapping[str, Any]) -> ServeConfig:
    """Check what `deploy.yaml` says.

    Raises:
        ConfigError: A setting is unknown or wrong; all are named.
    """
    try:
        return ServeConfig.model_validate(dict(args))
    except ValidationError as error:
        raise ConfigError("\n".join(explain(ServeConfig, error))) from error
