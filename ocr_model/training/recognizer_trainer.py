"""Training a recogniser on a Ray cluster. The loop is in `loop.py`, workers are `trainer.py`'s."""

import json
from typing import Any

from ocr_model.data.index import DatasetIndex, index_dataset
from ocr_model.data.ingest import scan_in_parallel
from ocr_model.errors import ConfigError
from ocr_model.training.config import TrainConfig
from ocr_model.training.local_data import build_local_data
from ocr_model.training.loop import Report
from ocr_model.training.outcome import TrainOutcome, finished_before, open_folder
from ocr_model.training.recognition import train
from ocr_model.training.report import write_report
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.starting_point import adopt_charset
from ocr_model.training.trainer import (
    WorkerJob,
    require_resources,
    run_workers,
    through_ray,
)
from ocr_model.training.worker import Worker


def run_training(config: TrainConfig, report: Report = lambda _: None) -> TrainOutcome:
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
    streams = config.training.num_streams or num_workers
    if config.training.batch_size % streams or streams % num_workers:
        raise ConfigError(
            f"{num_workers} workers must divide training.num_streams={streams}, and that "
            f"training.batch_size={config.training.batch_size}"
        )
    index = _index(config)
    # Raises what is wrong with sizes and numbers, before workers start.
    build_local_data(config, index, Worker(0, num_workers)).num_steps(0)
    reports: dict[str, Any] = {name: subset.to_json() for name, subset in index.reports.items()}
    folder.write("dataset.json", json.dumps(reports, indent=2, ensure_ascii=False).encode())
    report({"event": "dataset", **reports})
    job = WorkerJob(_train_worker, config.model_dump(mode="json"), index)
    return run_workers(job, config, folder, num_workers, resources, report)


def _train_worker(
    settings: dict[str, Any], index: DatasetIndex, folder: RunFolder, worker: Worker, report: Report
) -> dict[str, Any]:
    config = TrainConfig.model_validate(settings)
    local = build_local_data(config, index, worker)
    provenance = {"dataset": {name: part.to_json() for name, part in index.reports.items()}}
    with through_ray(local, config.training.epochs, worker) as data:
        result = train(
            config,
            index.charset,
            data,
            folder,
            worker=worker,
            report=report,
            provenance=provenance,
        )
        if worker.rank == 0:
            write_report(folder, config, index, result)
    return {"reason": result.progress.finished, "metrics": result.metrics}


def _index(config: TrainConfig) -> DatasetIndex:
    index = index_dataset(
        config.data,
        config.text,
        num_columns=config.model.num_columns(config.image.width),
        parallel_map=scan_in_parallel,
    )
    return adopt_charset(index, config.training.start_from)
