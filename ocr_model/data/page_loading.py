"""From page numbers to batches of crops with their maps: what a data worker does for a detector.

Nothing here imports torch or Ray. A crop depends on seed, epoch, step and its place in the batch
alone, so runs with any number of workers see the same, and no page is rendered twice.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from pydantic import PositiveInt, model_validator

from ocr_model.config import Config
from ocr_model.data.loading import Columns
from ocr_model.data.page_crops import CELL, Crop, CropConfig, LabelledPage, cut_crop
from ocr_model.data.page_sources import (
    PageTruth,
    RealPage,
    RealPages,
    RealPagesConfig,
    fingerprint,
    render_labelled,
    truth_of_real,
    truth_of_rendered,
)
from ocr_model.data.seeding import generator_of
from ocr_model.data.synthetic.pages import PageConfig
from ocr_model.errors import ImageError

_PAGES_PER_SLOT = 2
"""Pages whose crops a task mixes, for each place in the batch."""
_VALIDATION = 1 << 32  # an epoch that no run reaches


class PageDataConfig(Config):
    """What a detector learns from."""

    pages: PageConfig = PageConfig()
    real: tuple[RealPagesConfig, ...] = ()
    """Real pages of some kinds; what their shares leave is rendered."""
    crops: CropConfig = CropConfig()
    crops_per_page: PositiveInt = 4
    """Rendering a page takes three times as long as cutting a crop."""
    crops_per_epoch: PositiveInt = 4096
    num_validation_pages: PositiveInt = 24
    """Rendered ones; held-out real ones are added."""

    @model_validator(mode="after")
    def _shares_are_of_one_whole(self) -> "PageDataConfig":
        total = sum(kind.share for kind in self.real)
        if total > 1:
            raise ValueError(
                f"shares in real add up to {total:g}: they are of all crops, at most 1"
            )
        return self


@dataclass(frozen=True)
class CropBatch:
    """Crops ready for the device; those of unreadable pages are already out and listed."""

    images: UInt8[np.ndarray, "batch side side 3"]
    heat: UInt8[np.ndarray, "batch 3 map_side map_side"]
    """Region, affinity (255 is 1), and 1 where these are known."""
    keys: list[str]
    errors: dict[str, str]
    """Reasons by key."""
    num_planned: int
    """With the unreadable ones."""


@dataclass(frozen=True)
class TruthBatch:
    """One page to validate with."""

    images: UInt8[np.ndarray, "pages height width 3"]
    """One; none where it could not be read."""
    quads: Float32[np.ndarray, "words 4 2"]
    is_ignored: Bool[np.ndarray, " words"]
    errors: dict[str, str]


@dataclass(frozen=True)
class LocalPages:
    """Loads everything in the calling process."""

    config: PageDataConfig
    batch_size: int
    """Crops of all ranks together; the world size divides it."""
    seed: int
    real: list[RealPages] = field(default_factory=list)
    rank: int = 0
    world_size: int = 1

    @property
    def fingerprint(self) -> int:
        """A number that changes when there are other real pages."""
        return fingerprint(page for kind in self.real for page in kind.held_out + kind.training)

    def num_steps(self, epoch: int) -> int:
        """Return the number of steps, of every epoch the same."""
        del epoch
        return max(1, self.config.crops_per_epoch // self.batch_size)

    def train_batches(self, epoch: int, start_step: int) -> Iterator[CropBatch]:
        """Yield this rank's part of each global batch from `start_step` on."""
        load = self.task_loader(epoch)
        for start, stop in self.task_spans(epoch, start_step):
            yield from map(self.train_batch, load(start, stop))

    def task_spans(self, epoch: int, start_step: int) -> list[tuple[int, int]]:
        """Return first and last step of each task from `start_step` on; pages stay in one."""
        num_steps, per_task = self.num_steps(epoch), self._steps_per_task
        firsts = range(start_step - start_step % per_task, num_steps, per_task)
        return [(max(f, start_step), min(f + per_task, num_steps)) for f in firsts]

    def task_loader(self, epoch: int) -> Callable[[int, int], list[Columns]]:
        """Return what loads the steps of a task."""
        return lambda start, stop: self._load_task(epoch, start, stop)

    @property
    def _steps_per_task(self) -> int:
        return _PAGES_PER_SLOT * self.config.crops_per_page

    def _load_task(self, epoch: int, start: int, stop: int) -> list[Columns]:
        task, first = divmod(start, self._steps_per_task)
        share = self.batch_size // self.world_size
        slots = range(self.rank * share, (self.rank + 1) * share)
        crops = [self._crops_of_slot(epoch, task, slot) for slot in slots]
        return [
            _columns([of_slot[step] for of_slot in crops], self.config.crops.side)
            for step in range(first, first + stop - start)
        ]

    def _crops_of_slot(self, epoch: int, task: int, slot: int) -> list["_Row"]:
        """Cut what one place in the batch shows in the steps of a task."""
        rows: list[_Row] = []
        for number in range(_PAGES_PER_SLOT):
            rng = generator_of(self.seed, epoch, task, slot, number)
            key, page = self._draw_page(rng, f"rendered:{epoch}/{task}/{slot}/{number}")
            for _ in range(self.config.crops_per_page):
                if isinstance(page, str):
                    rows.append(_Row(key, None, page))
                else:
                    rows.append(_Row(key, cut_crop(page, self.config.crops, rng)))
        order = generator_of(self.seed, epoch, task, slot).permutation(len(rows))
        return [rows[number] for number in order]

    def _draw_page(self, rng: np.random.Generator, name: str) -> tuple[str, LabelledPage | str]:
        """Return a page, or why it cannot be read, with its key."""
        place = rng.random()
        for kind in self.real:
            if place < kind.share:
                chosen = kind.training[int(rng.integers(len(kind.training)))]
                try:
                    return chosen.key, chosen.decode()
                except ImageError as error:
                    return chosen.key, str(error)
            place -= kind.share
        return name, render_labelled(self.config.pages, rng)

    @staticmethod
    def train_batch(columns: Columns) -> CropBatch:
        """Take the readable crops of a step."""
        is_readable = columns["error"] == ""
        keys, faults = columns["key"], columns["error"]
        errors = {str(keys[i]): str(faults[i]) for i in np.flatnonzero(~is_readable)}
        return CropBatch(
            columns["images"][is_readable],
            columns["heat"][is_readable],
            [str(key) for key in keys[is_readable]],
            errors,
            len(keys),
        )

    def validation_batches(self) -> Iterator[TruthBatch]:
        """Yield this rank's validation pages; all ranks together give each once."""
        for start, stop in self.validation_spans():
            yield self.validation_batch(self.load_validation(start, stop))

    def validation_spans(self) -> list[tuple[int, int]]:
        """Return the numbers of this rank's pages, each with its successor."""
        num_pages = self.config.num_validation_pages + len(self._held_out)
        return [(n, n + 1) for n in range(self.rank, num_pages, self.world_size)]

    @cached_property
    def _held_out(self) -> list[RealPage]:
        return [page for kind in self.real for page in kind.held_out]

    def load_validation(self, start: int, stop: int) -> Columns:
        """Load one page, whose successor is `stop`."""
        del stop
        num_rendered = self.config.num_validation_pages
        if start < num_rendered:
            rng = generator_of(self.seed, _VALIDATION, start)
            return _truth_columns("", truth_of_rendered(self.config.pages, rng))
        page = self._held_out[start - num_rendered]
        try:
            return _truth_columns(page.key, truth_of_real(page))
        except ImageError as error:
            nothing = np.zeros((0, 4, 2), np.float32)
            empty = PageTruth(np.zeros((1, 1, 3), np.uint8), nothing, np.zeros(0, bool))
            return _truth_columns(page.key, empty, str(error))

    @staticmethod
    def validation_batch(columns: Columns) -> TruthBatch:
        """Take a page, if it could be read."""
        key, error = str(columns["key"][0]), str(columns["error"][0])
        images = columns["images"][: 0 if error else 1]
        errors = {key: error} if error else {}
        return TruthBatch(images, columns["quads"], columns["is_ignored"], errors)


@dataclass(frozen=True)
class _Row:
    key: str
    crop: Crop | None
    error: str = ""


def _columns(rows: list[_Row], side: int) -> Columns:
    images = np.zeros((len(rows), side, side, 3), np.uint8)
    heat = np.zeros((len(rows), 3, side // CELL, side // CELL), np.uint8)
    for number, crop in enumerate(row.crop for row in rows):
        if crop is not None:
            images[number] = crop.pixels
            heat[number, 0] = np.rint(255 * crop.heat.region)
            heat[number, 1] = np.rint(255 * crop.heat.affinity)
            heat[number, 2] = crop.heat.is_known
    return {
        "images": images,
        "heat": heat,
        "key": np.array([row.key for row in rows], object),
        "error": np.array([row.error for row in rows], object),
    }


def _truth_columns(key: str, truth: PageTruth, error: str = "") -> Columns:
    return {
        "images": truth.pixels[None],
        "quads": truth.quads,
        "is_ignored": truth.is_ignored,
        "key": np.array([key], object),
        "error": np.array([error], object),
    }
