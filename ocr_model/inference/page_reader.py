"""`PageReader`: whole images in, pages with words in reading order out."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image

from ocr_model.arguments import require_type
from ocr_model.bundle import BundleInfo
from ocr_model.decoding.readings import Prediction, sureness
from ocr_model.detection.boxes import FoundWords, find_words
from ocr_model.detection.maps import AnyPixels, Quads, TextDetector
from ocr_model.detection.orientation import (
    UprightFrame,
    begin_upright,
    plausible_turns,
    turn_corners,
)
from ocr_model.detection.rectify import Crop, rectify
from ocr_model.inference.documents import (
    DocumentConfig,
    DocumentSource,
    PageImage,
    open_pages,
)
from ocr_model.inference.drafts import Draft
from ocr_model.inference.options import ReadOptions
from ocr_model.inference.pages import Page
from ocr_model.inference.reader_config import AS_USUAL, IN_THE_BOX, PageReaderConfig, ReadingConfig
from ocr_model.inference.recognizer import Recognizer

_BATCH_PIXELS = 30_000_000  # pages are read together until they have so many
_MOST_THREADS = 8


@runtime_checkable
class CropReader(Protocol):
    """Reads the words that are cut out of pages: a `Recognizer`, or one that runs elsewhere."""

    info: BundleInfo
    """Of the model, whose geometry crops are cut to."""

    def read(self, images: Sequence[Crop], options: ReadOptions, /) -> list[Prediction]:
        """Read crops, in their order."""

    def read_all(self, images: Iterable[Crop], options: ReadOptions, /) -> Iterator[Prediction]:
        """Read crops as they come, in their order."""


class PageReader:
    """Finds and reads the text of whole images. May be used by several threads at once."""

    def __init__(
        self,
        detector: TextDetector,
        recognizer: CropReader,
        config: ReadingConfig = AS_USUAL,
    ) -> None:
        """Chain a detector and a recogniser; `config` says how, not which."""
        self.detector, self.recognizer, self.config = detector, recognizer, config
        self._options = config.word_options("upright")
        self._cut = partial(rectify, geometry=recognizer.info.geometry, config=config.crops)

    @classmethod
    def load(cls, config: PageReaderConfig = IN_THE_BOX) -> "PageReader":
        """Load the detector and the recogniser that are named, or those in the box.

        Raises:
            BundleError: One of them is missing, incomplete or altered.
            ConfigError: There is no such device here, or a setting has no effect; `config` is none.
        """
        require_type("config", config, PageReaderConfig)
        recognizer = Recognizer.load(
            config.recognizer, device=config.device, precision=config.precision, kind=config.kind
        )
        return cls(config.load_detector(), recognizer, config)

    def read(self, image: DocumentSource) -> Page:
        """Read one picture: encoded bytes, a path, an RGB or grey array, or a Pillow image.

        What cannot be read gives a page that says why in `error`. Of a document with several pages
        the first is read, and `warnings` says so.
        """
        images = open_pages(image, self.config.documents.replace(max_pages=1))
        (page,) = self._read_group([next(images)])
        if next(images, None) is None:
            return page
        return replace(page, warnings=(*page.warnings, "more pages follow: use read_document"))

    def read_document(
        self, source: DocumentSource, documents: DocumentConfig | None = None
    ) -> Iterator[Page]:
        """Read all pages of a file or a folder, several at a time; `documents` says which.

        Raises:
            ConfigError: A setting of `documents` is wrong.
        """
        yield from self.read_images(open_pages(source, documents or self.config.documents))

    def read_all(self, images: Iterable[DocumentSource]) -> Iterator[Page]:
        """Read any number of pictures as they come, in their order; crops share batches.

        Documents with several pages give as many.

        Raises:
            TypeError: `images` is one picture, not several.
        """
        given: object = images  # a path is a sequence too, of characters
        if isinstance(given, str | bytes | bytearray | memoryview | Path | Image.Image):
            raise TypeError(f"read_all takes many images, got one {type(given).__name__}")
        opened = (open_pages(image, self.config.documents) for image in images)
        yield from self.read_images(chain.from_iterable(opened))

    def read_images(self, images: Iterable[PageImage]) -> Iterator[Page]:
        """Read pages that are decoded already; memory is bounded."""
        for group in _groups(images, self.config.pages_at_a_time):
            yield from self._read_group(group)

    def _read_group(self, images: list[PageImage]) -> list[Page]:
        started = time.monotonic()
        drafts = self._find([(i, i.pixels) for i in images if i.pixels is not None])
        limit = self.config.max_seconds
        deadline = None if limit is None else started + limit * len(drafts)
        self._level(drafts)
        self._read_words([draft for draft in drafts if draft.may_be_upright], deadline)
        if _is_before(deadline):
            self._try_turns(drafts)
        for draft in drafts:
            draft.turn_upright()
        if _is_before(deadline):
            self._look_again([draft for draft in drafts if draft.frame.rotation])
        unread = [draft for draft in drafts if draft.frame.rotation or not draft.readings]
        self._read_words(unread, deadline)
        least = self.config.min_confidence
        geometry = self.recognizer.info.geometry
        pages = iter([draft.compose(geometry, min_confidence=least) for draft in drafts])
        return [_unread(image) if image.pixels is None else next(pages) for image in images]

    def _find(self, images: list[tuple[PageImage, AnyPixels]]) -> list[Draft]:
        """Find the words of each page."""
        if not images:
            return []
        found, seconds = self._find_words([pixels for _, pixels in images])
        drafts = []
        for (image, pixels), words in zip(images, found, strict=True):
            frame = UprightFrame(0, 0.0, *pixels.shape[:2])
            draft = Draft(image, pixels, words.quads, words.confidences, frame)
            draft.warnings += image.warnings
            draft.limit_words(self.config.max_words)
            drafts.append(draft)
        _share_out(seconds, drafts)
        return drafts

    def _find_words(self, pictures: list[AnyPixels]) -> tuple[list[FoundWords], dict[str, float]]:
        """Return the words of each picture, and the seconds by stage."""
        boxes = self.detector.boxes
        if self.config.boxes is not None:
            boxes = boxes.replace(**self.config.boxes.model_dump(exclude_unset=True))
        began = time.monotonic()
        maps = self.detector.find(pictures)
        detected = time.monotonic()
        with ThreadPoolExecutor(min(_MOST_THREADS, len(maps))) as pool:
            found = list(pool.map(partial(find_words, config=boxes), maps))
        return found, {"detect": detected - began, "boxes": time.monotonic() - detected}

    def _level(self, drafts: list[Draft]) -> None:
        """Measure how the lines of each page run."""
        for draft in drafts:
            began = time.monotonic()
            draft.level(may_be_turned=self.config.orientation == "any")
            draft.seconds["orient"] = time.monotonic() - began

    def _try_turns(self, drafts: list[Draft]) -> None:
        """Read some words in other turns where the likeliest does not read surely."""
        began = time.monotonic()
        drafts = [draft for draft in drafts if draft.turns]
        self._read_probes(drafts, [draft.turns[:1] for draft in drafts])
        unsure = [draft for draft in drafts if not draft.is_surely_right]
        self._read_probes(unsure, [draft.turns for draft in unsure])
        _share_out({"orient": time.monotonic() - began}, drafts)

    def _look_again(self, turned: list[Draft]) -> None:
        """Find the words of pages that lie once more, upright."""
        if not turned:
            return
        found, seconds = self._find_words([draft.turned_pixels() for draft in turned])
        for draft, words in zip(turned, found, strict=True):
            draft.find_again(words)
            draft.limit_words(self.config.max_words)
        _share_out(seconds, turned)

    def _read_probes(self, drafts: list[Draft], turns: list[tuple[int, ...]]) -> None:
        """Read chosen words of each page in the turns in which they have not been, all together."""
        wanted = [
            (draft, turn, draft.probe_quads(turn))
            for draft, asked in zip(drafts, turns, strict=True)
            for turn in asked
            if turn not in draft.probes
        ]
        crops = [crop for draft, _, quads in wanted for crop in self._cut(draft.pixels, quads)]
        readings = iter(self.recognizer.read(crops, self._options) if crops else ())
        for draft, turn, quads in wanted:
            draft.probes[turn] = list(islice(readings, len(quads)))

    def _read_words(self, drafts: list[Draft], deadline: float | None) -> None:
        """Read the words of all pages together; of several turns, the surest reading counts."""
        began = time.monotonic()
        for draft in drafts:
            draft.quads = begin_upright(draft.quads, draft.frame)
            draft.readings = [None] * len(draft.quads)
            draft.first_readings = draft.readings.copy()
        under_way = deque[tuple[Draft, int, Quads]]()
        crops = self._crops(drafts, under_way, deadline)
        for reading in self.recognizer.read_all(crops, self._options):
            draft, word, quad = under_way.popleft()
            former = draft.readings[word]
            if former is None:
                draft.first_readings[word] = reading
            if former is None or sureness(reading) > sureness(former):
                draft.readings[word], draft.quads[word] = reading, quad[0]
        seconds = time.monotonic() - began
        num_words = max(1, sum(len(draft.quads) for draft in drafts))
        for draft in drafts:
            draft.take_probes()
            share = seconds * len(draft.quads) / num_words
            draft.seconds["recognise"] = draft.seconds.get("recognise", 0.0) + share

    def _crops(
        self,
        drafts: list[Draft],
        under_way: deque[tuple[Draft, int, Quads]],
        deadline: float | None,
    ) -> Iterator[Crop]:
        """Cut words out, a page at a time, as they may have to be turned, until time is up.

        `under_way` is told of which page and word each crop is, and how it lies.
        """
        for draft in drafts:
            turned = [
                (word, turn_corners(draft.quads[word, None], turn))
                for word, turns in enumerate(plausible_turns(draft.quads))
                for turn in turns
            ]
            quads = np.concatenate([draft.quads[:0], *(quad for _, quad in turned)])
            for (word, quad), crop in zip(turned, self._cut(draft.pixels, quads), strict=True):
                if not _is_before(deadline):
                    return
                under_way.append((draft, word, quad))
                yield crop


def _groups(images: Iterable[PageImage], most: int) -> Iterator[list[PageImage]]:
    """Take pages together, as many as allowed and as memory bears."""
    group, num_pixels = list[PageImage](), 0
    for image in images:
        group.append(image)
        num_pixels += 0 if image.pixels is None else image.pixels.shape[0] * image.pixels.shape[1]
        if len(group) == most or num_pixels >= _BATCH_PIXELS:
            yield group
            group, num_pixels = [], 0
    if group:
        yield group


def _share_out(seconds: dict[str, float], drafts: list[Draft]) -> None:
    """Add what stages took to the pages, by their pixels."""
    num_pixels = sum(draft.pixels.size for draft in drafts)
    for draft in drafts:
        for stage, taken in seconds.items():
            share = taken * draft.pixels.size / num_pixels
            draft.seconds[stage] = draft.seconds.get(stage, 0.0) + share


def _is_before(deadline: float | None) -> bool:
    return deadline is None or time.monotonic() < deadline


def _unread(image: PageImage) -> Page:
    return Page(
        0, 0, number=image.number, source=image.source, warnings=image.warnings, error=image.error
    )
