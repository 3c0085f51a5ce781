"""The plain loop on tiny data, which may be interrupted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from ocr_model.data.index import index_dataset
from ocr_model.data.loading import Batch, LocalData
from ocr_model.training.config import TrainConfig
from ocr_model.training.loop import Report, TrainResult
from ocr_model.training.recognition import train
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.run_state import LAST

TrainLocally = Callable[..., TrainResult]


@dataclass(frozen=True)
class InterruptedData(LocalData):
    """Data of a machine that goes down after some steps."""

    steps_left: int = 0

    def train_batches(self, epoch: int, start_step: int) -> Iterator[Batch]:
        batches = super().train_batches(epoch, start_step)
        for step, batch in enumerate(batches, sum(map(self.num_steps, range(epoch))) + start_step):
            if step == self.steps_left:
                raise KeyboardInterrupt
            yield batch


@pytest.fixture
def train_locally(local_data: Callable[..., LocalData]) -> TrainLocally:
    """Return a function that runs the plain loop, perhaps only so many steps."""

    def run(
        config: TrainConfig,
        *,
        stop_before_step: int | None = None,
        report: Report = lambda _: None,
        provenance: dict[str, Any] | None = None,
    ) -> TrainResult:
        columns = config.model.num_columns(config.image.width)
        index = index_dataset(config.data, config.text, num_columns=columns)
        data = local_data(config, index)
        if stop_before_step is not None:
            data = InterruptedData(**vars(data), steps_left=stop_before_step)
        folder = folder_of(config)
        return train(config, index.charset, data, folder, report=report, provenance=provenance)

    return run


def folder_of(config: TrainConfig) -> RunFolder:
    return RunFolder(config.run.storage, config.run.name)


@pytest.fixture(scope="session")
def load() -> Callable[..., dict[str, Any]]:
    """Return a function of a run's settings and a checkpoint's name: the state that is kept."""

    def read(config: TrainConfig, name: str = LAST) -> dict[str, Any]:
        state = folder_of(config).load_state(name)
        assert state is not None
        return state

    return read
