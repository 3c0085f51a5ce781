"""All settings of a detector's training run."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from ocr_model.config import Config
from ocr_model.data.page_loading import PageDataConfig
from ocr_model.detection.compact import CompactDetectorConfig
from ocr_model.detection.maps import BoxConfig
from ocr_model.detection.network import CompactNetworkConfig
from ocr_model.training.config import LoopConfig, OptimizerConfig, RunConfig, ScalingConfig


class DetectorOptimizerConfig(OptimizerConfig):
    """As a recogniser's, with another peak."""

    learning_rate: PositiveFloat = 2e-3
    """Peak, for the given batch size."""


class DetectorTrainingConfig(LoopConfig):
    """The loop of a detector."""

    epochs: PositiveInt = 20
    batch_size: PositiveInt = 16
    """Crops per optimiser step, of all workers together."""
    monitor: Literal["hmean", "recall", "precision"] = "hmean"
    """What decides which epoch was best."""


class DetectorTrainConfig(Config):
    """A detector's training run; the defaults are rendered pages only."""

    run: RunConfig = RunConfig(name="detector")
    data: PageDataConfig = PageDataConfig()
    model: CompactNetworkConfig = CompactNetworkConfig()
    boxes: BoxConfig = BoxConfig()
    """Thresholds for validation; the bundle has them as its own."""
    validation: CompactDetectorConfig = CompactDetectorConfig()
    """In what size pages are validated."""
    optimizer: DetectorOptimizerConfig = DetectorOptimizerConfig()
    training: DetectorTrainingConfig = DetectorTrainingConfig()
    scaling: ScalingConfig = ScalingConfig()
