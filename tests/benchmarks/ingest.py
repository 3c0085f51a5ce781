"""Words per second that Ray Data loads, against a bare pool of processes running the same function.

    uv run tests/benchmarks/ingest.py --words 100000

Both read, decode, augment and pack the same batches out of one Parquet file, in order, with as many
processes, and hand them to this one. They take turns, each turn a part of an epoch, because a
machine is seldom quiet; a turn is timed from its first tenth on, so neither pays for starting up.
"""

import argparse
import io
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from PIL import Image

from ocr_model.data.batching import EpochPlan
from ocr_model.data.index import index_dataset
from ocr_model.data.ingest import RayData
from ocr_model.data.loading import Batch, Columns, LocalData
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.training.config import TrainConfig
from ocr_model.training.local_data import build_local_data

_PICTURES = 1000


def main() -> None:
    """Measure in turns and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rows-per-task", type=int, default=512)
    options = parser.parse_args()
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")
    ray.init(
        address="local",
        num_cpus=options.processes + 2,
        object_store_memory=200_000_000,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = _write_words(Path(folder) / "words.parquet", options.words)
        local = _local_data(path, options.rows_per_task)
        rates = _measure(local, options.rounds, options.processes)
    ratios = [a / b for a, b in zip(rates["ray"], rates["pool"], strict=True)]
    medians = {name: round(statistics.median(found)) for name, found in rates.items()}
    print(json.dumps({**medians, "ratio": round(statistics.median(ratios), 3)}))


def _measure(local: LocalData, rounds: int, processes: int) -> dict[str, list[float]]:
    num_steps = local.num_steps(0) // (rounds + 1)
    rates: dict[str, list[float]] = {"ray": [], "pool": []}
    method = multiprocessing.get_context("forkserver")
    with method.Pool(processes, initializer=_hold, initargs=(local,)) as pool:
        for number in range(rounds + 1):
            start = number * num_steps
            ray_data = RayData(local, epochs=1, cpus=processes)
            found = {"ray": _rate(ray_data.train_batches(0, start), num_steps)}
            ray_data.close()
            spans = [span for span in local.task_spans(0, start) if span[0] < start + num_steps]
            loaded = pool.imap(_load, spans)
            batches = (Batch.from_columns(columns) for task in loaded for columns in task)
            found["pool"] = _rate(batches, num_steps)
            if number:  # the first turn warms both up
                print({name: round(rate) for name, rate in found.items()}, flush=True)
                for name, rate in found.items():
                    rates[name].append(rate)
    return rates


def _rate(batches: Iterator[Batch], num_steps: int) -> float:
    num_words, began = 0, 0.0
    for step in range(num_steps):
        batch = next(batches)
        num_words += len(batch.labels)
        if step == num_steps // 10:
            num_words, began = 0, time.perf_counter()
    return num_words / (time.perf_counter() - began)


def _hold(local: LocalData) -> None:
    global _held  # what a pool's process is given at its start
    _held = local, local.train_plan.epoch(0)


_held: tuple[LocalData, EpochPlan]


def _load(span: tuple[int, int]) -> list[Columns]:
    local, plan = _held
    return local.train_plan.load_task(plan, *span, local.rank, local.world_size)


def _local_data(path: Path, rows_per_task: int) -> LocalData:
    config = TrainConfig.model_validate(
        {
            "data": {"source": "parquet", "path": str(path), "validation_fraction": 0.001},
            "training": {"rows_per_task": rows_per_task},
        }
    )
    return build_local_data(config, index_dataset(config.data, config.text))


def _write_words(path: Path, num_words: int) -> Path:
    """Write rendered words as JPEG; some pictures many times, which decodes no faster."""
    source = SyntheticSource(num_words=_PICTURES)
    samples = []
    for fragment in source.fragments("train"):
        samples += source.read(fragment, np.arange(fragment.num_rows), epoch=0)
    rows = []
    for sample in samples:
        assert isinstance(sample.image, np.ndarray)
        buffer = io.BytesIO()
        Image.fromarray(sample.image).save(buffer, "JPEG", quality=90)
        rows.append((buffer.getvalue(), sample.label))
    picks = np.random.default_rng(0).integers(len(rows), size=num_words)
    table = pa.table({"image": [rows[i][0] for i in picks], "label": [rows[i][1] for i in picks]})
    pq.write_table(table, path, row_group_size=1000)
    return path


if __name__ == "__main__":
    main()
