"""`run.json`: whose results an output holds, and what each run did."""

import json
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ocr_model.differences import list_differences
from ocr_model.errors import BatchError, ConfigError, ImageError, StorageError
from ocr_model.inference.bulk.config import BatchConfig
from ocr_model.inference.bulk.ledger import Counts
from ocr_model.inference.bulk.listing import Listing, input_folder
from ocr_model.inference.bulk.places import Place, open_place
from ocr_model.inference.bulk.reading import absolute, model_id

MANIFEST = "run.json"
_VERSION = 1
_LEAST_FREE_BYTES = 50_000_000
_RUNS_KEPT = 100


@dataclass
class BatchResult:
    """What a run did."""

    reason: str
    """Why it ended: `complete`, `interrupted`, or what was wrong with the images."""
    counts: Counts = field(default_factory=Counts)
    """Of this run."""
    totals: Counts = field(default_factory=Counts)
    """Of all finished shards of the output."""
    seconds: float = 0.0
    num_ignored: int = 0
    """Objects of the input that are no images by their names."""
    num_machines: int = 1
    marks: list[tuple[float, int]] = field(default_factory=list)
    """Seconds since the run began, and images read until then; some of the moments of long runs."""
    last_units: list[tuple[int, int]] = field(default_factory=list)
    """Shard and unit of the last ones that were read."""

    @property
    def images_per_second(self) -> float:
        """Of this run, its start included."""
        return self.counts.images / max(1e-9, self.seconds)

    @property
    def is_complete(self) -> bool:
        """Whether all of the input is in the output."""
        return self.reason == "complete"


@dataclass
class Manifest:
    """The file, and the settings with which every machine finds everything."""

    config: BatchConfig
    place: Place
    model: str
    content: dict[str, Any]

    def begin_run(self) -> None:
        """Write down that a run has begun."""
        self.content["runs"] = [*self.content["runs"], {"began": _now()}][-_RUNS_KEPT:]
        self.content["is_complete"] = False
        self._store()

    def end_run(self, result: BatchResult) -> None:
        """Write down what the run did, and what the output now holds."""
        self.content["runs"][-1].update(
            ended=_now(),
            reason=result.reason,
            seconds=round(result.seconds, 1),
            images_per_second=round(result.images_per_second, 2),
            num_machines=result.num_machines,
            **result.counts.to_json(),
        )
        self.content.update(counts=result.totals.to_json(), is_complete=result.is_complete)
        self._store()

    def _store(self) -> None:
        text = json.dumps(self.content, indent=1, ensure_ascii=False)
        self.place.write(MANIFEST, text.encode())


def begin(config: BatchConfig) -> Manifest:
    """Open an output, or go on in one; find out what can be wrong before anything is read.

    Raises:
        StorageError: Input or output is not there, not open to us, or does not answer.
        BatchError: The output holds another run's results, or there is nothing to read.
        ConfigError: Input and output are in each other, or a setting does not fit the input.
        BundleError: A model cannot be read.
    """
    model = model_id(config)
    config = config.replace(reader=absolute(config.reader).model_dump())
    place = open_place(config.output)
    _require_apart(input_folder(config.input), place.address)
    if next(iter(Listing(config)), None) is None:
        raise BatchError(f"input={config.input}: there is nothing to read")
    _require_space(place)
    absolute_config = config.replace(input=_absolute(config.input), output=place.address)
    content = {
        "version": _VERSION,
        "model": model,
        "config": absolute_config.content(),
        "is_complete": False,
        "runs": [],
    }
    if not _is_begun(place):
        place.create(MANIFEST, json.dumps(content, indent=1).encode())
    content = _checked(place, content)
    return Manifest(absolute_config, place, model, content)


def _is_begun(place: Place) -> bool:
    """Say whether there is a manifest; what is neither empty nor an output is refused."""
    try:
        place.find(MANIFEST)
    except ImageError as error:
        is_there = "://" in place.address or Path(place.address).exists()
        other = next(place.entries(), None) if is_there else None
        if other is not None:
            raise BatchError(
                f"output {place.address} has no {MANIFEST} but holds {other.key}; give an empty or "
                "a new one"
            ) from error
        return False
    return True


def _checked(place: Place, ours: dict[str, Any]) -> dict[str, Any]:
    """Return what is written, where it is of the same settings and models."""
    address = f"{place.address}/{MANIFEST}"
    try:
        theirs: dict[str, Any] = json.loads(place.read(MANIFEST))
        names = ("version", "model", "config")
        differences = list_differences(*({n: c[n] for n in names} for c in (theirs, ours)))
        theirs["runs"]
    except (ValueError, KeyError, TypeError, AttributeError, ImageError) as error:
        raise BatchError(f"{address} is of no batch run ({error}); give another output") from error
    if differences:
        raise BatchError(
            f"output {place.address} holds the results of another run: {differences}. Give "
            "another output, or these settings"
        )
    return theirs


def _require_apart(source: str, output: str) -> None:
    for outer, inner in ((source, output), (output, source)):
        if f"{inner}/".startswith(f"{outer.rstrip('/')}/"):
            raise ConfigError(
                f"output={output} and input={source} must not be in each other: what is written "
                "would be read"
            )


def _require_space(place: Place) -> None:
    if "://" in place.address:
        return
    existing = next(p for p in (Path(place.address), *Path(place.address).parents) if p.exists())
    free = shutil.disk_usage(existing).free
    if free < _LEAST_FREE_BYTES:
        raise StorageError(
            f"output {place.address} has {free} bytes free, {_LEAST_FREE_BYTES} are needed to begin"
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _absolute(address: str) -> str:
    return address if "://" in address else str(Path(address).expanduser().absolute())
