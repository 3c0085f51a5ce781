"""Images per second of a batch run on this machine against a bare pool of as many processes.

    uv run tests/benchmarks/batch_overhead.py --set source=FOLDER_OF_PAGES num_images=200
    uv run tests/benchmarks/batch_overhead.py --set mode=words num_images=2000

The pool has its images in memory, loads the same reader in each process, and writes nothing. Both
are timed once they read: the pool from when all processes have loaded, the run from the end of its
first unit to that of its last. The pool is measured before and after, for machines that are busy.
Without `source`, words are rendered.
"""

import json
import multiprocessing
import os
import tempfile
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import psutil
import torch
from pydantic import PositiveInt

from ocr_model.config import Config
from ocr_model.data.synthetic.renderer import WordRenderer
from ocr_model.data.synthetic.stages import RendererConfig
from ocr_model.entry_points import parse_command_line
from ocr_model.inference.bulk.config import BatchConfig
from ocr_model.inference.bulk.fetching import fetch
from ocr_model.inference.bulk.items import Item
from ocr_model.inference.bulk.listing import Listing
from ocr_model.inference.bulk.reading import UnitReader


class OverheadConfig(Config):
    """What is measured."""

    source: str | None = None
    """Folder of images."""
    mode: Literal["pages", "words"] = "pages"
    num_images: PositiveInt = 200
    unit_images: PositiveInt | None = None
    processes: PositiveInt = 2
    is_pool_measured: bool = True
    """Whether there is anything to compare with."""


def main(config: OverheadConfig) -> None:
    """Measure both and print one JSON object."""
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in"
        _fill(source, config)
        batch = BatchConfig(
            input=str(source),
            output=f"{folder}/out",
            mode=config.mode,
            unit_images=config.unit_images,
            pool={"max_readers": config.processes},
        )
        figures: dict[str, object] = {"images": config.num_images, "mode": config.mode}
        pool = [_measure_pool(batch, config.processes)] if config.is_pool_measured else []
        figures |= _measure_run(batch)
        if config.is_pool_measured:
            pool.append(_measure_pool(batch, config.processes))
            figures["pool_images_per_second"] = [round(rate, 2) for rate in pool]
            figures["ratio"] = round(float(str(figures["images_per_second"])) / np.mean(pool), 3)
    print(json.dumps(figures))


def _fill(folder: Path, config: OverheadConfig) -> None:
    """Put so many images into a folder, by links where they are there."""
    if config.source is not None:
        found = sorted(path for path in Path(config.source).rglob("*") if path.is_file())
        for number in range(config.num_images):
            target = found[number % len(found)]
            place = folder / f"{number // 1000:04}" / f"{number:07}{target.suffix}"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target.absolute())
        return
    renderer = WordRenderer(RendererConfig())
    for number in range(config.num_images):
        rng = np.random.default_rng(number)
        word = "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(3, 12)))
        place = folder / f"{number // 1000:04}" / f"{number:07}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), renderer.render(word, rng).pixels[..., ::-1])


def _measure_pool(config: BatchConfig, processes: int) -> float:
    context = multiprocessing.get_context("spawn")
    loaded = context.Barrier(processes + 1)
    items = list(Listing(config))
    workers = [
        context.Process(target=_read, args=(config, items[part::processes], loaded))
        for part in range(processes)
    ]
    for worker in workers:
        worker.start()
    loaded.wait()
    began = time.monotonic()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    return len(items) / (time.monotonic() - began)


def _read(config: BatchConfig, items: list[Item], loaded: Barrier) -> None:
    torch.set_num_threads(1)
    reader = UnitReader(config)
    contents = fetch(items, at_once=8, most_bytes=config.max_image_bytes)
    loaded.wait()
    size = config.images_per_unit
    for start in range(0, len(items), size):
        unit = slice(start, start + size)
        for reading in reader.read(items[unit], contents[unit]):
            assert reading.rows


def _measure_run(config: BatchConfig) -> dict[str, object]:
    from ocr_model.inference.batch import read_batch  # noqa: PLC0415  # Ray reads the environment
    from ocr_model.inference.bulk.manifest import begin  # noqa: PLC0415  # the same
    from ocr_model.ray_session import connected  # noqa: PLC0415  # the same

    marks: list[tuple[float, int]] = []
    peaks: list[int] = []

    def note(event: dict[str, object]) -> None:
        if event["event"] == "unit":
            marks.append((time.monotonic(), event["counts"].images))  # type: ignore[attr-defined]  # Counts
            peaks.append(psutil.Process().memory_info().rss)

    manifest = begin(config)
    with connected(least_cpus=2 + (os.cpu_count() or 1)):
        result = read_batch(manifest, note)
    assert result.is_complete
    middle = len(marks) // 2
    first, half, last = marks[0][0], marks[middle][0], marks[-1][0]
    counts = [images for _, images in marks]
    return {
        "images_per_second": round(sum(counts[1:]) / (last - first), 2),
        "first_half": round(sum(counts[1 : middle + 1]) / max(1e-9, half - first), 2),
        "second_half": round(sum(counts[middle + 1 :]) / max(1e-9, last - half), 2),
        "seconds_to_first_unit": round(result.seconds - (last - first), 1),
        "driver_mib": [round(peak / 2**20) for peak in (peaks[middle], peaks[-1])],
    }


if __name__ == "__main__":
    main(parse_command_line(OverheadConfig, __doc__ or ""))
