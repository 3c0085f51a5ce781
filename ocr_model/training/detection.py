"""Training a detector: what the loop must know of one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ocr_model.data.page_crops import CELL
from ocr_model.data.page_loading import CropBatch, LocalPages, TruthBatch
from ocr_model.data.page_sources import read_real_pages
from ocr_model.detection.boxes import find_words
from ocr_model.detection.bundle import (
    DetectorBundle,
    DetectorInfo,
    load_detector_bundle,
    serialize_detector,
)
from ocr_model.detection.compact import CompactDetector
from ocr_model.detection.network import CompactNetwork
from ocr_model.detection.scoring import DetectionCounts, count_detections
from ocr_model.errors import ConfigError
from ocr_model.image import Pixels
from ocr_model.models.interface import TrainableModel
from ocr_model.training.checkpoint import Progress
from ocr_model.training.detector_config import DetectorTrainConfig
from ocr_model.training.loop import Report, TrainResult, train_task
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.task import Finished, PartOutput, Task, Validation
from ocr_model.training.worker import TrainData, Worker

_POSITIVE = 0.1  # heat from which on a cell is text
_NEGATIVES_PER_POSITIVE = 3
_FEWEST_NEGATIVES = 1000  # of a crop, also without text
_NUM_SAMPLES = 6


@dataclass(frozen=True)
class FoundSample:
    """A validation page with what was found on it, for the report."""

    image: Pixels
    truths: Float[np.ndarray, "_truths 4 2"]
    found: Float[np.ndarray, "_found 4 2"]


def train_detector(
    config: DetectorTrainConfig,
    data: TrainData[CropBatch, TruthBatch],
    folder: RunFolder,
    *,
    worker: Worker | None = None,
    report: Report = lambda _: None,
) -> TrainResult[FoundSample]:
    """Train a detector to the end, as `train_task` says."""
    return train_task(DetectorTask(config), data, folder, worker=worker, report=report)


def build_pages(config: DetectorTrainConfig, worker: Worker | None = None) -> LocalPages:
    """Return what one rank reads, loaded in the calling process as it is asked for.

    Raises:
        ConfigError: The workers do not divide the batch.
        DatasetError: Real pages cannot be read.
    """
    worker = worker or Worker()
    batch_size = config.training.batch_size
    if batch_size % worker.world_size:
        raise ConfigError(
            f"{worker.world_size} workers must divide training.batch_size={batch_size}"
        )
    real = [read_real_pages(kind) for kind in config.data.real]
    return LocalPages(
        config.data, batch_size, config.training.seed, real, worker.rank, worker.world_size
    )


class DetectorTask(Task[CropBatch, FoundSample]):
    """Crops of pages and their maps."""

    rising: ClassVar = frozenset({"hmean", "recall", "precision"})

    def __init__(self, config: DetectorTrainConfig) -> None:
        self.config: DetectorTrainConfig = config

    def num_streams(self, world_size: int) -> int:
        """Return the batch size: each place in the batch has its own pages."""
        del world_size
        return self.config.training.batch_size

    def build_model(self) -> CompactNetwork:
        """Build as configured, with the weights to begin with."""
        start_from = self.config.training.start_from
        if start_from is None:
            return CompactNetwork(self.config.model)
        bundle = load_detector_bundle(start_from)
        if bundle.info.model != self.config.model:
            raise ConfigError(
                f"training.start_from={start_from} has the architecture {bundle.info.model}, "
                f"model is {self.config.model}: they must be the same"
            )
        return bundle.network

    def parts(
        self, batch: CropBatch, num_parts: int, progress: Progress, worker: Worker
    ) -> Iterator[Callable[[nn.Module], PartOutput]]:
        """Yield forward passes; one over nothing readable counts nothing."""
        del progress
        images = torch.tensor(batch.images).to(worker.device)
        heat = torch.tensor(batch.heat).to(worker.device)
        size = -(-batch.num_planned // num_parts)
        for start in range(0, num_parts * size, size):
            part = slice(start, start + size)
            yield _pass_over(images[part], heat[part])

    def validate(
        self, model: TrainableModel, data: TrainData[CropBatch, TruthBatch], worker: Worker
    ) -> Validation:
        """Count boxes at IoU 0.5."""
        return self._score(model, data, worker, num_samples=0)[0]

    def finish(
        self,
        model: TrainableModel,
        data: TrainData[CropBatch, TruthBatch],
        worker: Worker,
        provenance: dict[str, Any],
    ) -> Finished[FoundSample]:
        """Score once more, and keep some pages to be looked at."""
        assert isinstance(model, CompactNetwork)
        config = self.config
        validation, samples = self._score(model, data, worker, num_samples=_NUM_SAMPLES)
        files: dict[str, bytes] = {}
        if worker.rank == 0:
            info = DetectorInfo(
                model=config.model,
                boxes=config.boxes,
                metrics=validation.metrics,
                provenance={"config": config.model_dump(mode="json"), **provenance},
            )
            files = serialize_detector(model, info)
        return Finished(validation.metrics, files, samples)

    def _score(
        self,
        model: TrainableModel,
        data: TrainData[CropBatch, TruthBatch],
        worker: Worker,
        *,
        num_samples: int,
    ) -> tuple[Validation, list[FoundSample]]:
        """Find the words of every page in full precision and add up over ranks."""
        assert isinstance(model, CompactNetwork)
        config = self.config
        bundle = DetectorBundle(DetectorInfo(model=config.model), model.eval())
        detector = CompactDetector(
            bundle, config.validation, device=worker.device, precision="fp32"
        )
        counts, samples, errors = DetectionCounts(), list[FoundSample](), dict[str, str]()
        num_pages = 0
        for batch in data.validation_batches():
            errors |= batch.errors
            num_pages += 1
            found = np.zeros((0, 4, 2), np.float32)
            for maps in detector.find(list(batch.images)):
                found = find_words(maps, config.boxes).quads
                if len(samples) < num_samples:
                    samples.append(FoundSample(batch.images[0], batch.quads, found))
            counts += count_detections(batch.quads, found, batch.is_ignored)
        totals = np.array([*counts.to_array(), num_pages, len(errors)])
        if worker.world_size > 1:
            reduced = torch.from_numpy(totals).to(worker.device)
            dist.all_reduce(reduced)
            totals = reduced.cpu().numpy()
        *fields, num_images, num_unread = totals.tolist()
        metrics = DetectionCounts(*fields).summary()
        metrics |= {
            "num_words": fields[0],
            "num_pages": num_images,
            "unreadable_images": num_unread,
        }
        return Validation(metrics, num_images, num_unread, errors), samples


def _pass_over(
    images: UInt8[Tensor, "batch side side 3"], heat: UInt8[Tensor, "batch 3 map_side map_side"]
) -> Callable[[nn.Module], PartOutput]:
    weights = torch.ones(len(images), device=images.device)
    if not len(images):  # every rank must take every step
        side = images.shape[1]
        images = images.new_zeros(1, side, side, 3)
        heat = heat.new_zeros(1, 3, side // CELL, side // CELL)
        weights = torch.zeros(1, device=images.device)

    def forward(wrapped: nn.Module) -> PartOutput:
        return PartOutput(heat_loss(wrapped(images), heat), weights)

    return forward


def heat_loss(
    logits: Float[Tensor, "batch 2 map_height map_width"],
    heat: UInt8[Tensor, "batch 3 map_height map_width"],
) -> Float[Tensor, " batch"]:
    """Return the mean over cells with text plus that over the hardest without, of both maps.

    Cross-entropy with the heat as a probability has its least value where the squared error has,
    and does not fade where the network is surely wrong. As many of the worst cells without text
    count as three times those with it, or 1000.

    Source: CRAFT's official training code mines negatives so (3 to 1; of squared errors).
    """
    is_known = heat[:, 2:].bool().flatten(2)  # batch, 1, cells
    truth = (heat[:, :2].float() / 255).flatten(2)  # batch, 2, cells
    losses = nn.functional.binary_cross_entropy_with_logits(
        logits.float().flatten(2), truth, reduction="none"
    )
    is_text = (truth > _POSITIVE) & is_known
    num_text = is_text.sum(dim=2)
    of_text = (losses * is_text).sum(dim=2) / num_text.clamp(min=1)
    others = torch.where(is_known & ~is_text, losses, 0).sort(dim=2, descending=True).values
    num_others = (is_known & ~is_text).sum(dim=2)
    wanted = (_NEGATIVES_PER_POSITIVE * num_text).clamp(min=_FEWEST_NEGATIVES)
    num_hard = torch.minimum(wanted, num_others)
    is_hard = torch.arange(others.shape[2], device=others.device) < num_hard[..., None]
    of_others = (others * is_hard).sum(dim=2) / num_hard.clamp(min=1)
    return (of_text + of_others).sum(dim=1)
