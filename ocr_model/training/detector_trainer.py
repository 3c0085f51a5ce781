"""Training a detector on a Ray cluster. The loop is in `loop.py`, workers are `trainer.py`'s."""

from dataclasses import replace
from typing import Any

from ocr_model.data.page_loading import LocalPages
from ocr_model.training.detection import build_pages, train_detector
from ocr_model.training.detector_config import DetectorTrainConfig
from ocr_model.training.detector_report import write_detector_report
from ocr_model.training.loop import Report
from ocr_model.training.outcome import TrainOutcome, finished_before, open_folder
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.trainer import (
    WorkerJob,
    require_resources,
    run_workers,
    through_ray,
)
from ocr_model.training.worker import Worker


def run_detector_training(
    config: DetectorTrainConfig, report: Report = lambda _: None
) -> TrainOutcome:
    """Train on the connected cluster, or say that the run has ended before.

    Args:
        config: The run. The same name in the same storage goes on where it stopped.
        report: Called in this process with the loop's events.

    Raises:
        OCRError: As the loop, and ClusterError where the cluster is too small.
    """
    folder = open_folder(config.run)
    finished = finished_before(config, folder)
    if finished is not None:
        return finished
    num_workers, resources = require_resources(config.scaling)
    pages = build_pages(config, Worker(0, num_workers))
    job = WorkerJob(_train_worker, config.model_dump(mode="json"), pages)
    return run_workers(job, config, folder, num_workers, resources, report)


def _train_worker(
    settings: dict[str, Any], pages: LocalPages, folder: RunFolder, worker: Worker, report: Report
) -> dict[str, Any]:
    config = DetectorTrainConfig.model_validate(settings)
    local = replace(pages, rank=worker.rank)
    with through_ray(local, config.training.epochs, worker) as data:
        result = train_detector(config, data, folder, worker=worker, report=report)
        if worker.rank == 0:
            write_detector_report(folder, config, result)
    return {"reason": result.progress.finished, "metrics": result.metrics}
