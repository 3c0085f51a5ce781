"""Memory while a set far larger than the object store streams through it.

    uv run tests/benchmarks/ingest_memory.py --gigabytes 2

A small file of words is read again and again at 256 x 1024 pixels, 0.8 MB each, so that the volume
is in what Ray Data carries. The reader pauses at each batch as training would: loading is faster,
and must wait. Prints what the object store held at most, what was spilled to disk, and the memory
of all processes (PSS) after a quarter and at the end.
"""

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from ray._private.internal_api import node_stats

from ocr_model.data.index import index_dataset
from ocr_model.data.ingest import RayData
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.training.config import TrainConfig
from ocr_model.training.local_data import build_local_data

_STORE_BYTES = 200_000_000
_WORDS, _BATCH = 256, 8
_SIZE = {"height": 256, "width": 1024}


def main() -> None:
    """Stream, measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds per batch")
    options = parser.parse_args()
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(
        address="local",
        num_cpus=4,
        object_store_memory=_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    (node,) = ray.nodes()
    with tempfile.TemporaryDirectory() as folder:
        config = _config(Path(folder) / "words.parquet")
        local = build_local_data(config, index_dataset(config.data, config.text))
        epochs = round(options.gigabytes * 1e9 / (256 * 1024 * 3 * _BATCH * local.num_steps(0)))
        num_steps = epochs * local.num_steps(0)
        data = RayData(local, epochs=epochs, cpus=2)
        peak = num_bytes = 0
        family: list[dict[str, float]] = []
        for epoch in range(epochs):
            for batch in data.train_batches(epoch, 0):
                num_bytes += batch.images.nbytes
                time.sleep(options.pause)
            stats = node_stats(node["NodeManagerAddress"], node["NodeManagerPort"]).store_stats
            peak = max(peak, stats.object_store_bytes_used)
            family.append(_pss_mib())
            print({k: round(v) for k, v in family[-1].items() if v > 100}, flush=True)
        print(
            json.dumps(
                {
                    "streamed_mib": round(num_bytes / 2**20),
                    "batches": num_steps,
                    "store_peak_mib": round(peak / 2**20),
                    "spilled_mib": round(stats.spilled_bytes_total / 2**20),
                    "processes_mib_after_a_quarter": round(sum(family[len(family) // 4].values())),
                    "processes_mib_at_the_end": round(sum(family[-1].values())),
                }
            )
        )


def _config(path: Path) -> TrainConfig:
    source = SyntheticSource(num_words=_WORDS)
    samples = source.read(source.fragments("train")[0], np.arange(_WORDS), epoch=0)
    images = [np.ascontiguousarray(sample.image) for sample in samples]
    encoded = [_png(image) for image in images]
    pq.write_table(pa.table({"image": encoded, "label": [s.label for s in samples]}), path)
    return TrainConfig.model_validate(
        {
            "data": {"source": "parquet", "path": str(path), "validation_path": str(path)},
            "image": _SIZE,
            "augmentation": {"noise": 0, "blur": 0},
            "training": {"batch_size": _BATCH, "rows_per_task": 16},
        }
    )


def _png(pixels: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", pixels)[1])


def _pss_mib() -> dict[str, float]:
    """Return memory by process name; the object store counts where its pages are touched."""
    found: dict[str, float] = defaultdict(float)
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            name = process.cmdline()[0].rpartition("/")[2][:24] + f"({process.pid})"
            found[name] += process.memory_full_info().pss / 2**20
        except (psutil.NoSuchProcess, psutil.AccessDenied, IndexError):
            continue
    return found


if __name__ == "__main__":
    main()
