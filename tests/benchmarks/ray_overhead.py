"""Images per second of a run through Ray (one worker) against the plain loop in one process.

    uv run tests/benchmarks/ray_overhead.py --set data.source=parquet data.path=words.parquet \
        data.validation_fraction=0.1

Both train the same model on the same batches, on the same cores, one after the other; the plain
loop decodes and augments in its own process. The rate is that of all epochs but the first, which
pays for starting workers. The default is the quick-start's model on rendered words.
"""

import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch

from ocr_model.data.index import index_dataset
from ocr_model.entry_points import parse_command_line
from ocr_model.training.config import TrainConfig
from ocr_model.training.local_data import build_local_data
from ocr_model.training.recognition import train
from ocr_model.training.run_folder import RunFolder

QUICKSTART = Path(__file__).parents[2] / "jobs" / "configs" / "quickstart.yaml"


def main() -> None:
    """Run both and print one JSON object."""
    config = parse_command_line(TrainConfig, "Measure Ray's overhead.", default_config=QUICKSTART)
    training = config.training.replace(epochs=max(2, config.training.epochs), max_minutes=None)
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    from ocr_model.ray_session import connected  # noqa: PLC0415  # reads that
    from ocr_model.training.recognizer_trainer import run_training  # noqa: PLC0415  # the same

    torch.set_num_threads(os.cpu_count() or 1)
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as storage:
        for name in ("plain", "ray"):
            this = config.replace(
                run={"storage": storage, "name": name},
                training=training.model_dump(),
                scaling={"num_workers": 1},
            )
            epochs = _EpochRates(name)
            if name == "plain":
                index = index_dataset(this.data, this.text)
                data = build_local_data(this, index)
                train(this, index.charset, data, RunFolder(storage, name), report=epochs)
            else:
                with connected():
                    run_training(this, epochs)
            rates[name] = epochs.mean_of_later()
    print(json.dumps({**rates, "ratio": rates["ray"] / rates["plain"]}))


class _EpochRates:
    """Keeps images per second of each epoch."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rates: list[float] = []

    def __call__(self, event: dict[str, Any]) -> None:
        if event["event"] == "epoch":
            self.rates.append(event["train/images_per_second"])
            print(self.name, f"{self.rates[-1]:.1f}", flush=True)

    def mean_of_later(self) -> float:
        """Return the harmonic mean of all epochs but the first."""
        return statistics.harmonic_mean(self.rates[1:])


if __name__ == "__main__":
    main()
