"""What a training loop is told of that which it trains: a recogniser, or a detector."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn

from ocr_model.models.interface import TrainableModel
from ocr_model.training.checkpoint import Progress
from ocr_model.training.config import RunSettings
from ocr_model.training.worker import TrainData, Worker


@runtime_checkable  # for the tests, which check types at run time
class StepBatch(Protocol):
    """This rank's part of a step's samples."""

    @property
    def keys(self) -> list[str]:
        """Of the samples, for messages."""

    @property
    def errors(self) -> dict[str, str]:
        """Reasons by key, of the samples that could not be read."""

    @property
    def num_planned(self) -> int:
        """Samples that the step was to have on this rank, the unreadable ones too."""


@dataclass(frozen=True)
class PartOutput:
    """What a forward pass over a part of a batch gives."""

    losses: Float[Tensor, " samples"]
    """What is minimised, of each sample."""
    weights: Float[Tensor, " samples"]
    """0 for what only stands in for an unreadable sample, else 1."""
    num_correct_tokens: Tensor | int = 0
    num_tokens: Tensor | int = 0


@dataclass(frozen=True)
class Validation:
    """How the validation part was read, on all ranks."""

    metrics: dict[str, float]
    num_images: float
    num_unreadable: float
    errors: dict[str, str]
    """Reasons by key, of this rank's unreadable images."""


Sample = TypeVar("Sample")


@dataclass(frozen=True)
class Finished(Generic[Sample]):
    """What a run leaves."""

    metrics: dict[str, float]
    """On the whole validation part."""
    files: dict[str, bytes]
    """Of the bundle, by name; on rank 0."""
    samples: list[Sample] = field(default_factory=list)
    """Of all ranks, for the report."""


Batch = TypeVar("Batch", bound=StepBatch)


class Task(ABC, Generic[Batch, Sample]):
    """A model, its loss, and how good it is."""

    config: RunSettings
    characters: str = ""
    """The vocabulary, which a run goes on with; empty where the model has none."""
    rising: ClassVar[frozenset[str]]
    """Metrics that are the better the higher they are; of the others, the lower."""

    @abstractmethod
    def num_streams(self, world_size: int) -> int:
        """Return in how many parts each batch is read; fixed when the run starts."""

    @abstractmethod
    def build_model(self) -> TrainableModel:
        """Return the model with its first weights, on the CPU.

        Raises:
            ConfigError: It cannot be built.
        """

    @abstractmethod
    def parts(
        self, batch: Batch, num_parts: int, progress: Progress, worker: Worker
    ) -> Iterator[Callable[[nn.Module], PartOutput]]:
        """Yield exactly `num_parts` forward passes over a batch; each takes the wrapped model."""

    @abstractmethod
    def validate(
        self, model: TrainableModel, data: TrainData[Batch, Any], worker: Worker
    ) -> Validation:
        """Judge the model on the validation part."""

    @abstractmethod
    def finish(
        self,
        model: TrainableModel,
        data: TrainData[Batch, Any],
        worker: Worker,
        provenance: dict[str, Any],
    ) -> Finished[Sample]:
        """Judge the best weights and describe them."""
