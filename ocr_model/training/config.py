"""All settings of a training run."""

import re
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from ocr_model.config import Config
from ocr_model.data.augment import AugmentConfig
from ocr_model.data.batching import BatchingConfig
from ocr_model.data.curriculum import AllAtOnce, CurriculumConfig, ShortAndEasyFirst, ShortFirst
from ocr_model.data.labels import TextConfig
from ocr_model.data.scales import OneSize, ScalesConfig
from ocr_model.data.sources import DataConfig
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.devices import Precision
from ocr_model.image import ImageGeometry
from ocr_model.models import ModelConfig
from ocr_model.models.resnet_transformer import ResNetTransformerConfig
from ocr_model.training.schedules import ScheduleName

Monitor = Literal["cer", "word_accuracy", "word_accuracy_exact", "loss"]


class RunConfig(Config):
    """Where results go. The same name again resumes."""

    name: str = "quickstart"
    """Letters, digits, `_`, and behind the first `.` and `-`."""
    storage: str = Field("runs", min_length=1)
    """Folder or bucket that all workers see."""

    @field_validator("name")
    @classmethod
    def _is_a_file_name(cls, name: str) -> str:
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise ValueError(
                f"{name!r} cannot be a folder's name; take letters, digits and _, and behind the "
                "first character . and - too"
            )
        return name


class OptimizerConfig(Config):
    """AdamW (arXiv:1711.05101); norms, biases and embeddings are not decayed."""

    learning_rate: PositiveFloat = 1e-3
    """Peak, for the given batch size."""
    encoder_learning_rate_factor: PositiveFloat = 1.0
    """The backbone's rate as a share of the others'; below 1 for pretrained weights."""
    weight_decay: NonNegativeFloat = 0.01
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.99, ge=0, lt=1)
    schedule: ScheduleName = "one_cycle"
    warmup: float = Field(0.15, ge=0, lt=1)
    """Share of the run in which the rate rises."""
    clip_norm: PositiveFloat = 5.0
    """Largest norm of the gradient."""


class TeacherForcingConfig(Config):
    """How often the decoder is fed the truth instead of its own prediction."""

    start: float = Field(1.0, ge=0, le=1)
    end: float = Field(1.0, ge=0, le=1)
    """Reached in the last epoch; the probability falls linearly by epoch."""

    @model_validator(mode="after")
    def _falls(self) -> "TeacherForcingConfig":
        if self.end > self.start:
            raise ValueError(
                f"end {self.end} is above start {self.start}; teacher forcing falls, so that the "
                "decoder learns to go on from its own predictions"
            )
        return self


class LoopConfig(Config):
    """The loop, whatever it trains."""

    start_from: str | None = None
    """A bundle to begin with, in a folder that all workers see, or one in the box: its weights, for
    a model of its architecture (or with more blocks in a recogniser's ResNet, which change nothing
    at first), and a recogniser's charset, for data with no other characters. null: random
    weights."""
    epochs: PositiveInt = 6
    max_minutes: PositiveFloat | None = None
    """Fit the run into so many minutes of training: the number of steps is cut to what the
    machine's speed allows, measured in the first half of the time, so that the schedule still
    ends. Makes a run depend on the clock."""
    batch_size: PositiveInt = 128
    """Samples per optimiser step, of all workers together."""
    accumulation_steps: PositiveInt = 1
    """Parts that each worker's share of a batch is cut into, to save memory."""
    precision: Precision = "auto"
    """What matrix products are computed in. auto: bf16 where the device computes in it, else fp16
    on a GPU, else fp32."""
    frozen_encoder_epochs: NonNegativeInt = 0
    """Epochs at the start in which the backbone, its normalisation too, does not change."""
    frozen_batch_norm: bool = False
    """Normalise as `start_from` does, whatever a batch holds: for fine-tuning on mixed data, whose
    batches differ from each other and from what will be read. Blocks that `start_from` did not have
    only scale and shift."""
    average_decay: float = Field(0.0, ge=0, lt=1)
    """Validate and keep a moving average of the weights and of the normalisation's statistics
    (Polyak and Juditsky, 1992), of which each step replaces a share of 1 - this. 0.999 averages the
    last thousand steps, about; 0: the weights as they are."""
    sync_batch_norm: bool = True
    """Normalise over the batches of all workers, so results do not depend on their number."""
    early_stopping_patience: PositiveInt = 8
    """Epochs without a better `monitor` after which the run ends."""
    monitor: str
    """What decides which epoch was best."""
    checkpoint_every_steps: PositiveInt | None = None
    """Also write `last.pt` within an epoch; null: at its end only."""
    half_weights: bool = False
    """Round the best weights to half precision before they are judged and written: the bundle is
    half as large."""
    compile: bool = False
    """Run the model through torch.compile."""
    seed: NonNegativeInt = 0
    max_unreadable: float = Field(0.01, ge=0, le=1)
    """Share of unreadable images in an epoch above which the run fails."""

    @model_validator(mode="after")
    def _freezing_ends(self) -> "LoopConfig":
        if self.frozen_encoder_epochs > self.epochs:
            raise ValueError(
                f"frozen_encoder_epochs {self.frozen_encoder_epochs} goes beyond epochs "
                f"{self.epochs}; {self.epochs} trains the rest only"
            )
        return self

    @model_validator(mode="after")
    def _freezing_has_a_start(self) -> "LoopConfig":
        if self.frozen_batch_norm and self.start_from is None:
            raise ValueError(
                "frozen_batch_norm keeps the statistics of start_from, which is null: name a model "
                "to start from, or train the statistics with frozen_batch_norm=false"
            )
        return self


class TrainingConfig(LoopConfig):
    """The loop of a recogniser."""

    monitor: Monitor = "cer"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    teacher_forcing: TeacherForcingConfig = TeacherForcingConfig()
    num_streams: PositiveInt | None = None
    """Parts that each batch is read in; workers divide it. null: the number of workers. Runs with
    the same number see the same batches, however many workers they have."""
    shuffle_rows: PositiveInt = 16_384
    rows_per_task: PositiveInt = 512
    """Samples that one data task loads."""


class ScalingConfig(Config):
    """What the run asks of the cluster."""

    num_workers: PositiveInt | None = None
    """null: one per GPU; without GPUs one per node."""
    use_gpu: bool | None = None
    """null: where the cluster has any."""
    cpus_per_worker: PositiveFloat = 1.0
    """Logical CPUs that Ray sets apart per training worker; data tasks get the rest."""
    wait_seconds: NonNegativeFloat = 0
    """How long to wait for nodes that an autoscaler starts; they are asked for at once."""
    max_failures: NonNegativeInt = 3
    """Times that lost workers are replaced before the run fails."""


@runtime_checkable  # for the tests, which check types at run time
class RunSettings(Protocol):
    """What the loop reads of any run's settings."""

    @property
    def run(self) -> RunConfig:
        """Where results go."""

    @property
    def optimizer(self) -> OptimizerConfig:
        """How weights change."""

    @property
    def training(self) -> LoopConfig:
        """The loop."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """Return all settings as plain values."""


@runtime_checkable  # as above
class LaunchSettings(RunSettings, Protocol):
    """What the trainer reads beside those."""

    @property
    def scaling(self) -> ScalingConfig:
        """What the run asks of the cluster."""

    def to_yaml(self) -> str:
        """Return all settings, to be written beside the result."""


class TrainConfig(Config):
    """A training run; the defaults are the full-size model on rendered words."""

    run: RunConfig = RunConfig()
    data: DataConfig = SyntheticSource()
    text: TextConfig = TextConfig()
    image: ImageGeometry = ImageGeometry()
    batching: BatchingConfig = BatchingConfig()
    scales: ScalesConfig = OneSize()
    curriculum: CurriculumConfig = AllAtOnce()
    augmentation: AugmentConfig = AugmentConfig()
    model: ModelConfig = ResNetTransformerConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    scaling: ScalingConfig = ScalingConfig()

    @model_validator(mode="after")
    def _settings_have_effect(self) -> "TrainConfig":
        longest = self.data.longest_drawn
        if self.text.max_chars < longest:
            raise ValueError(
                f"data.lexicon.max_chars is {longest}, text.max_chars {self.text.max_chars}: "
                "rendered words would be cut"
            )
        training, forcing = self.training, self.training.teacher_forcing
        if training.start_from is not None and self.model.pretrained is not None:
            raise ValueError(
                "training.start_from brings all weights: model.pretrained has no effect"
            )
        if isinstance(self.model, ResNetTransformerConfig) and self.model.decoder_weight:
            if self.model.max_chars < self.text.max_chars:
                raise ValueError(
                    f"model.max_chars {self.model.max_chars} is below text.max_chars "
                    f"{self.text.max_chars}"
                )
        elif training.label_smoothing or (forcing.start, forcing.end) != (1.0, 1.0):
            raise ValueError(
                f"{self.model.name} trains by CTC: training.label_smoothing and "
                "training.teacher_forcing have no effect"
            )
        return self

    @model_validator(mode="after")
    def _sizes_fit_the_model(self) -> "TrainConfig":
        widths, sizes = self.batching.widths, self.scales.all_sizes()
        if widths and self.image.fit != "pad":
            raise ValueError(
                "batching.widths needs image.fit=pad: stretched images fill image.width"
            )
        if widths and widths[-1] != self.image.width:
            raise ValueError(
                f"batching.widths ends with {widths[-1]}; the last must be image.width "
                f"{self.image.width}, at which validation reads"
            )
        if widths and sizes:
            raise ValueError("batching.widths and scales.sizes both decide the width: drop one")
        if not self.model.takes_any_height and any(h != self.image.height for h, _ in sizes):
            raise ValueError(
                f"{self.model.name} is built for one height: scales.sizes must have image.height "
                f"{self.image.height}, and may differ in width"
            )
        return self

    @model_validator(mode="after")
    def _curriculum_has_effect(self) -> "TrainConfig":
        curriculum = self.curriculum
        if isinstance(curriculum, ShortFirst | ShortAndEasyFirst):
            first, longest = curriculum.start_chars, self.text.max_chars
            if first >= longest:
                raise ValueError(
                    f"curriculum.start_chars {first} leaves nothing out of text.max_chars {longest}"
                )
        is_weakened = curriculum.strength(0, self.training.epochs) < 1
        is_rendered = self.data.eased(0.5) != self.data
        if is_weakened and not (self.augmentation.strength or is_rendered):
            raise ValueError(f"{curriculum.name} weakens distortions, but augmentation has none")
        return self
