"""A run's data without Ray: for the plain loop, and for Ray Data to wrap."""

from ocr_model.data.batching import make_buckets
from ocr_model.data.index import DatasetIndex
from ocr_model.data.loading import LocalData, SampleLoader, TrainPlan
from ocr_model.training.config import TrainConfig
from ocr_model.training.worker import Worker


def build_local_data(
    config: TrainConfig, index: DatasetIndex, worker: Worker | None = None
) -> LocalData:
    """Return what one rank reads, loaded in the calling process as it is asked for."""
    worker = worker or Worker()
    training = config.training
    loader = SampleLoader(
        config.data, config.text, config.image, index.charset, config.augmentation, training.seed
    )
    num_streams = training.num_streams or worker.world_size
    buckets = make_buckets(
        index.train,
        config.image,
        training.batch_size,
        num_streams,
        config.batching,
        config.model.pixels_per_column(),
    )
    plan = TrainPlan(
        buckets,
        loader,
        num_streams,
        training.shuffle_rows,
        training.rows_per_task,
        training.epochs,
        config.curriculum,
        config.scales,
    )
    undistorted = SampleLoader(config.data, config.text, config.image, index.charset, None)
    return LocalData(plan, index.validation, undistorted, worker.rank, worker.world_size)
