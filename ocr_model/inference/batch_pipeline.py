"""The stages of a batch run as Ray Data sees them, and the processes that read."""

import json
import logging
import os
import time
from collections.abc import Callable

import pyarrow as pa
import ray
import ray.data
import torch
from ray import cloudpickle
from ray.data import ActorPoolStrategy, DataContext
from ray.util.metrics import Counter as Metric
from ray.util.metrics import Histogram

from ocr_model.errors import ClusterError
from ocr_model.inference.batch_feed import FeedHandle, FetchImages, ListUnits, contents_of
from ocr_model.inference.bulk.config import BatchConfig
from ocr_model.inference.bulk.plan import Unit
from ocr_model.inference.bulk.rows import ItemReader
from ocr_model.inference.bulk.working import Worker

Load = Callable[[], ItemReader]

_CPUS_TO_FETCH = 0.25  # a fetch waits for the network
_SECONDS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)


class ReadImages:
    """Reads units, and writes their rows; one process of the pool."""

    def __init__(self, config: BatchConfig, load: Load, feed: FeedHandle) -> None:
        if config.pool.gpus_per_reader == 0:
            torch.set_num_threads(config.pool.cpus_per_reader)
        self._feed = feed
        self._worker = Worker(config, load, cloudpickle.dumps(load))
        self._images = Metric("ocr_batch_images", "Inputs that were read")
        self._words = Metric("ocr_batch_words", "Words that were read")
        self._errors = Metric("ocr_batch_errors", "Rows with an error", ("reason",))
        self._seconds = Histogram("ocr_batch_unit_seconds", "Of reading a unit", list(_SECONDS))

    def __call__(self, block: pa.Table) -> pa.Table:
        """Read one unit, unless the run is being stopped; return what became of it."""
        counts = "" if ray.get(self._feed.is_stopped.remote()) else self._read(block)
        return block.select(["shard", "unit"]).append_column("counts", pa.array([counts]))

    def _read(self, block: pa.Table) -> str:
        began = time.monotonic()
        counts = self._worker.do(Unit.from_table(block), contents_of(block))
        self._seconds.observe(time.monotonic() - began)
        for metric, number in ((self._images, counts.images), (self._words, counts.words)):
            if number:
                metric.inc(number)
        for reason, number in counts.errors.items():
            self._errors.inc(number, {"reason": reason})
        return json.dumps(counts.to_json())


def batch_dataset(config: BatchConfig, feed: FeedHandle, load: Load) -> ray.data.Dataset:
    """Return a dataset with a row for each unit, which is read when the row is asked for.

    Raises:
        ClusterError: The cluster has no room for one reader.
    """
    pool = config.pool
    room = _room(config)
    most = pool.max_readers or room
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.raise_original_map_exception = True  # Ray's own wrapper loses it on its way here
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context.target_max_block_size = 1  # bytes: a block is one unit, and is handed on at once
    units: ray.data.Dataset = ray.data.read_datasource(
        ListUnits(feed, config.output),
        override_num_blocks=1,
        num_cpus=0,  # it mostly waits, beside the driver, where readers may hold all there is
    )
    fetched = units.map_batches(
        FetchImages(
            at_once=pool.fetches_at_once,
            most_bytes=config.max_image_bytes,
            column=config.column or "image",
        ),
        batch_size=1,
        batch_format="pyarrow",
        num_cpus=_CPUS_TO_FETCH,
        compute=ray.data.TaskPoolStrategy(size=pool.fetchers),
    )
    read: ray.data.Dataset = fetched.map_batches(
        ReadImages,
        fn_constructor_args=(config, load, feed),
        batch_size=1,
        batch_format="pyarrow",
        zero_copy_batch=True,
        num_cpus=pool.cpus_per_reader,
        num_gpus=pool.gpus_per_reader or None,
        compute=ActorPoolStrategy(
            min_size=min(pool.min_readers, most), max_size=most, initial_size=min(most, room)
        ),
    )
    return read


def _room(config: BatchConfig) -> int:
    """Return how many readers the cluster has room for; on one machine, at most one per core.

    Raises:
        ClusterError: Not for one.
    """
    pool, found = config.pool, ray.cluster_resources()
    helpers = pool.fetchers * _CPUS_TO_FETCH
    cpus = found.get("CPU", 0) - helpers
    if len(ray.nodes()) == 1:
        cpus = min(cpus, max(pool.cpus_per_reader, os.cpu_count() or 1))
    most = int(cpus // pool.cpus_per_reader)
    if pool.gpus_per_reader:
        most = min(most, int(found.get("GPU", 0) / pool.gpus_per_reader + 1e-6))
    if most < 1:
        raise ClusterError(
            f"a reader takes {pool.cpus_per_reader} CPUs and {pool.gpus_per_reader:g} GPUs, and "
            f"fetching takes {helpers:g} CPUs; the cluster has {found.get('CPU', 0):g} CPUs "
            f"and {found.get('GPU', 0):g} GPUs"
        )
    return most
