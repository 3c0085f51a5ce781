"""Training a recogniser: what the loop must know of one."""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from ocr_model.bundle import BundleInfo, serialize_bundle
from ocr_model.charset import Charset
from ocr_model.data.loading import Batch
from ocr_model.decoding.options import DecodeOptions
from ocr_model.errors import ConfigError, OCRError
from ocr_model.models import build_model
from ocr_model.models.interface import LossOutput, RecognizerModel, TrainableModel
from ocr_model.training.calibration import fit_temperature
from ocr_model.training.checkpoint import Progress
from ocr_model.training.config import TrainConfig
from ocr_model.training.loop import Report, TrainResult, train_task
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.schedules import teacher_forcing_probability
from ocr_model.training.starting_point import take_weights
from ocr_model.training.step import mix
from ocr_model.training.task import Finished, PartOutput, Task, Validation
from ocr_model.training.validation import ReadSample, choose_samples, validate
from ocr_model.training.worker import DeviceBatch, TrainData, Worker, to_device


def train(
    config: TrainConfig,
    charset: Charset,
    data: TrainData[Batch, Batch],
    folder: RunFolder,
    *,
    worker: Worker | None = None,
    report: Report = lambda _: None,
    provenance: dict[str, Any] | None = None,
) -> TrainResult[ReadSample]:
    """Train a recogniser to the end, as `train_task` says."""
    task = RecognizerTask(config, charset)
    return train_task(task, data, folder, worker=worker, report=report, provenance=provenance)


class RecognizerTask(Task[Batch, ReadSample]):
    """Words, read one by one."""

    rising: ClassVar = frozenset({"word_accuracy", "word_accuracy_exact"})

    def __init__(self, config: TrainConfig, charset: Charset) -> None:
        self.config: TrainConfig = config
        self.charset, self.characters = charset, charset.characters

    def num_streams(self, world_size: int) -> int:
        """Return what is set, or the number of workers."""
        return self.config.training.num_streams or world_size

    def build_model(self) -> RecognizerModel:
        """Build as configured, with the weights that training begins with."""
        config = self.config
        try:
            model = build_model(config.model, self.charset.num_classes, config.image)
        except (RuntimeError, ValueError) as error:
            if isinstance(error, OCRError):
                raise
            raise ConfigError(f"{config.model.name} cannot be built so: {error}") from error
        if config.training.start_from is not None:
            take_weights(model, self.charset, config.training.start_from)
        return model

    def parts(
        self, batch: Batch, num_parts: int, progress: Progress, worker: Worker
    ) -> Iterator[Callable[[nn.Module], PartOutput]]:
        """Yield forward passes with teacher forcing."""
        inputs = to_device(batch, worker.device)
        shape = inputs.targets.class_ids.shape
        mask = self._sampling_mask(progress, worker, batch.num_planned, *shape)
        first = 0
        for part in inputs.split(num_parts):
            part_mask = None
            if mask is not None and first < len(batch.labels):  # the others are stand-ins
                part_mask = mask[first : first + len(part.weights)]
            first += len(part.weights)
            yield self._pass_over(part, part_mask)

    def _pass_over(
        self, part: DeviceBatch, mask: Bool[Tensor, "batch steps"] | None
    ) -> Callable[[nn.Module], PartOutput]:
        def forward(wrapped: nn.Module) -> PartOutput:
            output: LossOutput = wrapped(
                part.images,
                part.content_width,
                part.targets,
                label_smoothing=self.config.training.label_smoothing,
                sampling_mask=mask,
            )
            counts = output.num_correct_tokens, output.num_tokens
            return PartOutput(output.losses, part.weights, *counts)

        return forward

    def validate(
        self, model: TrainableModel, data: TrainData[Batch, Batch], worker: Worker
    ) -> Validation:
        """Read greedily."""
        assert isinstance(model, RecognizerModel)
        metrics, _, errors = validate(
            model,
            data.validation_batches(),
            self.charset,
            worker,
            max_chars=self.config.text.max_chars,
        )
        return Validation(metrics, metrics["num_words"], metrics["unreadable_images"], errors)

    def finish(
        self,
        model: TrainableModel,
        data: TrainData[Batch, Batch],
        worker: Worker,
        provenance: dict[str, Any],
    ) -> Finished[ReadSample]:
        """Calibrate, read once more, keep the most telling samples."""
        assert isinstance(model, RecognizerModel)
        config, charset = self.config, self.charset
        max_chars = config.text.max_chars
        temperature, calibration = fit_temperature(
            model, data.validation_batches(), charset, worker, max_chars=max_chars
        )
        metrics, samples, _ = validate(
            model,
            data.validation_batches(),
            charset,
            worker,
            max_chars=max_chars,
            options=DecodeOptions(temperature=temperature),
            keep_samples=True,
        )
        metrics |= calibration
        shown = [s for of_rank in worker.gather(choose_samples(samples)) for s in of_rank]
        files: dict[str, bytes] = {}
        if worker.rank == 0:
            info = BundleInfo(
                model=config.model,
                charset=charset.characters,
                normalization=config.text.normalization,
                geometry=config.image,
                max_chars=max_chars,
                temperature=temperature,
                metrics=metrics,
                provenance={"config": config.model_dump(mode="json"), **provenance},
            )
            files = serialize_bundle(model, info)
        return Finished(metrics, files, shown)

    def _sampling_mask(
        self,
        progress: Progress,
        worker: Worker,
        num_planned: int,
        num_samples: int,
        num_chars: int,
    ) -> Bool[Tensor, "batch steps"] | None:
        training = self.config.training
        forcing = training.teacher_forcing
        probability = teacher_forcing_probability(
            progress.epoch, forcing.start, forcing.end, training.epochs
        )
        if probability >= 1:
            return None
        # Drawn for the global batch, so that it does not depend on the number of workers.
        seed = mix(training.seed, progress.global_step)
        shape = (num_planned * worker.world_size, self.config.text.max_chars + 1)
        drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) >= probability
        first = worker.rank * num_planned
        return drawn[first : first + num_samples, : num_chars + 1].to(worker.device)
