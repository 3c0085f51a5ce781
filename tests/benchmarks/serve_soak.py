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
from load_loops import closed_loop, require_wrk
from pydantic import PositiveFloat, PositiveInt
from serve_load import LoadConfig, pictures_of, requests_of, service

from ocr_model.config import Config
from ocr_model.entry_points import parse_command_line

_ROUND = 55  # seconds of load between two looks at the memory


class SoakConfig(Config):
    """What is measured."""

    minutes: PositiveFloat = 30.0
    folder: str | None = None
    """Pages, in files; null: drawn ones."""
    words_per_request: PositiveInt = 8
    clients: PositiveInt = 2
    """Of words; one more sends pages."""
    service: LoadConfig = LoadConfig()
    """Of it only what is of the service counts."""


def main(config: SoakConfig) -> None:
    """Load the service and watch it."""
    require_wrk()
    of_words = config.service.replace(
        verb="recognize", words=None, words_per_request=config.words_per_request
    )
    of_pages = of_words.replace(verb="ocr")
    words, pages = pictures_of(of_words), pictures_of(of_pages)
    if config.folder is not None:
        pages = [path.read_bytes() for path in sorted(Path(config.folder).iterdir())]
    statuses = Counter[str]()
    with service(config.service) as (address, _):
        loads = [
            ("words", requests_of(of_words, words, address), config.clients),
            ("pages", requests_of(of_pages, pages, address), 1),
        ]
        began = time.monotonic()
        while time.monotonic() - began < 60 * config.minutes:
            with ThreadPoolExecutor(2) as pool:
                under_way = {
                    kind: pool.submit(closed_loop, address, requests, clients, _ROUND)
                    for kind, requests, clients in loads
                }
            for kind, each in under_way.items():
                for status, number in each.result()["statuses"].items():
                    statuses[f"{kind}_{status}"] += number
            minutes = round((time.monotonic() - began) / 60, 1)
            print(json.dumps({"minutes": minutes, **statuses, **_memory()}), flush=True)


def _memory() -> dict[str, int]:
    """Return MiB by kind of process."""
    found = Counter[str]()
    for process in psutil.Process().children(recursive=True):
        try:
            title = " ".join(process.cmdline())
            kind = title.split(":")[-1].partition(".")[0] if title.startswith("ray::") else "others"
            found[kind] += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return {f"{kind.strip()}_mib": round(size / 2**20) for kind, size in found.items()}


if __name__ == "__main__":
    main(parse_command_line(SoakConfig, __doc__ or ""))
