"""Whether the service's memory stays flat: words and pages for half an hour.

    uv run tests/benchmarks/serve_soak.py --set minutes=30 folder=FOLDER_OF_PAGES

Prints a line of JSON every minute: requests answered by status, and the MiB of memory of each kind
of replica. What they share counts in parts (PSS).
"""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from load_loops import closed_loop
from pydantic import PositiveFloat, PositiveInt
from serve_load import LoadConfig, pictures_of, requests_of, service

from ocr_model.config import parse_command_line


class SoakConfig(LoadConfig):
    """What is measured."""

    minutes: PositiveFloat = 30.0
    folder: str | None = None
    """Pages, in files; null: drawn ones."""
    words_per_request: PositiveInt = 8
    soak_clients: PositiveInt = 2
    """Of words; one more sends pages."""


def main(config: SoakConfig) -> None:
    """Load the service and watch it."""
    words = pictures_of(config)
    pages = pictures_of(config.replace(verb="ocr"))
    if config.folder is not None:
        pages = [path.read_bytes() for path in sorted(Path(config.folder).iterdir())]
    statuses = Counter[str]()
    with service(config) as (address, _):
        of_words = requests_of(config, words, address)
        of_pages = requests_of(config.replace(verb="ocr"), pages, address)
        began = time.monotonic()
        while time.monotonic() - began < 60 * config.minutes:
            with ThreadPoolExecutor(2) as pool:
                loads = [(of_words, config.soak_clients), (of_pages, 1)]
                under_way = [pool.submit(closed_loop, address, *load, 55.0) for load in loads]
            for each in under_way:
                statuses.update(each.result()["statuses"])
            minutes = round((time.monotonic() - began) / 60, 1)
            print(json.dumps({"minutes": minutes, **statuses, **_memory()}), flush=True)


def _memory() -> dict[str, int]:
    """Return MiB by kind of process."""
    found = Counter[str]()
    for process in psutil.Process().children(recursive=True):
        try:
            title = " ".join(process.cmdline())
            kind = title.split("::")[1].split(":")[-1] if title.startswith("ray::") else "others"
            found[kind] += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return {f"{kind.strip()}_mib": round(size / 2**20) for kind, size in found.items()}


if __name__ == "__main__":
    main(parse_command_line(SoakConfig, __doc__ or ""))
