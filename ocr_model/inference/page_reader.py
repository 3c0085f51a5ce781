"""`PageReader`: whole images in, pages with words in reading order out."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image

from ocr_model.bundle import BundleInfo
from ocr_model.decoding.readings import Prediction, sureness
from ocr_model.detection.boxes import find_words
from ocr_model.detection.maps import AnyPixels, Quads, TextDetector
from ocr_model.detection.orientation import (
    Rotation,
    UprightFrame,
    begin_upright,
    candidate_turns,
    choose_probes,
    decide_rotation,
    measure_slope,
    plausible_turns,
    turn_corners,
)
from ocr_model.detection.rectify import Crop, RectifyConfig, rectify
from ocr_model.image import Pixels
from ocr_model.inference.documents import (
    DocumentConfig,
    DocumentSource,
    PageImage,
    open_pages,
)
from ocr_model.inference.options import UPRIGHT, ReadOptions
from ocr_model.inference.pages import Page
from ocr_model.inference.reader_config import AS_USUAL, IN_THE_BOX, PageReaderConfig, ReadingConfig
from ocr_model.inference.recognizer import Recognizer
from ocr_model.inference.structure import structure, words_of
from ocr_model.inference.word_gaps import Gap, find_gaps

_BATCH_PIXELS = 30_000_000  # pages are read together until they have so many
_MOST_THREADS = 8
_WITHOUT_MARGIN = RectifyConfig(margin=0)
_SURE_SLOPE = 0.5  # below, words run in all directions, and none is the page's
_SURE_TURN = 0.9  # below, of pages that may be upright most are; few words often say otherwise


@dataclass
class _Draft:
    """A page on its way."""

    image: PageImage
    pixels: Pixels
    quads: Quads
    box_confidences: np.ndarray
    frame: UprightFrame
    rotation_confidence: float = 0.0
    readings: list[Prediction | None] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


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
        self._cut = partial(rectify, geometry=recognizer.info.geometry, config=config.crops)

    @classmethod
    def load(cls, config: PageReaderConfig = IN_THE_BOX) -> "PageReader":
        """Load the detector and the recogniser that are named, or those in the box.

        Raises:
            BundleError: One of them is missing, incomplete or altered.
            ConfigError: There is no such device here, or a setting has no effect.
        """
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
        self._orient(drafts)
        limit = self.config.max_seconds
        deadline = None if limit is None else started + limit * len(drafts)
        self._read_words(drafts, deadline)
        pages = iter([self._composed(draft) for draft in drafts])
        return [_unread(image) if image.pixels is None else next(pages) for image in images]

    def _find(self, images: list[tuple[PageImage, AnyPixels]]) -> list[_Draft]:
        """Find the words of each page."""
        if not images:
            return []
        pictures = [pixels for _, pixels in images]
        boxes = self.detector.boxes
        if self.config.boxes is not None:
            boxes = boxes.replace(**self.config.boxes.model_dump(exclude_unset=True))
        began = time.monotonic()
        maps = self.detector.find(pictures)
        detected = time.monotonic()
        with ThreadPoolExecutor(min(_MOST_THREADS, len(maps))) as pool:
            found = list(pool.map(partial(find_words, config=boxes), maps))
        boxed = time.monotonic()
        drafts = []
        for (image, pixels), words in zip(images, found, strict=True):
            frame = UprightFrame(0, 0.0, *pixels.shape[:2])
            draft = _Draft(image, pixels, words.quads, words.confidences, frame)
            draft.warnings += image.warnings
            share = pixels.size / sum(p.size for p in pictures)
            draft.seconds["detect"] = share * (detected - began)
            draft.seconds["boxes"] = share * (boxed - detected)
            self._limit_words(draft)
            drafts.append(draft)
        return drafts

    def _limit_words(self, draft: _Draft) -> None:
        most, num_found = self.config.max_words, len(draft.quads)
        if num_found <= most:
            return
        kept = np.sort(np.argsort(-draft.box_confidences, kind="stable")[:most])
        draft.quads, draft.box_confidences = draft.quads[kept], draft.box_confidences[kept]
        draft.warnings.append(f"max_words: {num_found - most} of {num_found} words were left out")

    def _orient(self, drafts: list[_Draft]) -> None:
        """Measure each page's slope, and try on some words which way is up."""
        began = time.monotonic()
        probes = [self._probes(draft) for draft in drafts]
        crops = [crop for turns in probes for turned in turns.values() for crop in turned]
        readings = iter(self.recognizer.read(crops, UPRIGHT))
        for draft, turns in zip(drafts, probes, strict=True):
            sure = {turn: [_told(next(readings)) for _ in turned] for turn, turned in turns.items()}
            if sure:
                rotation = decide_rotation(sure)
                if 0 in sure and rotation.degrees and rotation.confidence < _SURE_TURN:
                    rotation = Rotation(0, 1 - rotation.confidence)
                draft.frame = replace(draft.frame, rotation=rotation.degrees)
                draft.rotation_confidence = rotation.confidence
            draft.seconds["orient"] = (time.monotonic() - began) / len(drafts)

    def _probes(self, draft: _Draft) -> dict[int, list[Crop]]:
        """Level a page's frame, and cut some words out in each turn that is worth trying."""
        slope = measure_slope(draft.quads)
        if slope.confidence >= _SURE_SLOPE:
            draft.frame = replace(draft.frame, skew=slope.skew)
        chosen = draft.quads[choose_probes(draft.quads)]
        if self.config.orientation == "upright" or not len(chosen):
            return {}
        frames = {turn: replace(draft.frame, rotation=turn) for turn in candidate_turns(slope)}
        return {
            turn: self._cut(draft.pixels, begin_upright(chosen, frame))
            for turn, frame in frames.items()
        }

    def _read_words(self, drafts: list[_Draft], deadline: float | None) -> None:
        """Read the words of all pages together; of several turns, the surest reading counts."""
        began = time.monotonic()
        for draft in drafts:
            draft.quads = begin_upright(draft.quads, draft.frame)
            draft.readings = [None] * len(draft.quads)
        under_way = deque[tuple[_Draft, int, Quads]]()
        for reading in self.recognizer.read_all(self._crops(drafts, under_way, deadline), UPRIGHT):
            draft, word, quad = under_way.popleft()
            former = draft.readings[word]
            if former is None or sureness(reading) > sureness(former):
                draft.readings[word], draft.quads[word] = reading, quad[0]
        seconds = time.monotonic() - began
        num_words = max(1, sum(len(draft.quads) for draft in drafts))
        for draft in drafts:
            draft.seconds["recognise"] = seconds * len(draft.quads) / num_words
            unread = draft.readings.count(None)
            if unread:
                draft.warnings.append(f"max_seconds: {unread} words were found but not read")

    def _crops(
        self,
        drafts: list[_Draft],
        under_way: deque[tuple[_Draft, int, Quads]],
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
                if deadline is not None and time.monotonic() > deadline:
                    return
                under_way.append((draft, word, quad))
                yield crop

    def _gaps(self, draft: _Draft, quad: np.ndarray, reading: Prediction) -> list[Gap]:
        """Look where in a box its spaces are, if what was read there has any."""
        if not any(character.isspace() for character in reading.text):
            return []
        (crop,) = rectify(draft.pixels, quad[None], self.recognizer.info.geometry, _WITHOUT_MARGIN)
        return find_gaps(crop, reading.text)

    def _composed(self, draft: _Draft) -> Page:
        began = time.monotonic()
        parts = zip(draft.quads, draft.readings, draft.box_confidences.tolist(), strict=True)
        words = [
            word
            for quad, reading, confidence in parts
            if reading is not None and reading.confidence >= self.config.min_confidence
            for word in words_of(quad, reading, confidence, self._gaps(draft, quad, reading))
        ]
        blocks = structure(words, draft.frame)
        draft.seconds["order"] = time.monotonic() - began
        return Page(
            width=draft.frame.width,
            height=draft.frame.height,
            blocks=blocks,
            number=draft.image.number,
            source=draft.image.source,
            rotation=draft.frame.rotation,
            rotation_confidence=draft.rotation_confidence,
            skew=draft.frame.skew,
            seconds=draft.seconds,
            warnings=tuple(draft.warnings),
        )


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


def _unread(image: PageImage) -> Page:
    return Page(
        0, 0, number=image.number, source=image.source, warnings=image.warnings, error=image.error
    )


def _told(reading: Prediction) -> float:
    """Return how much a probe says for its turn: one sure letter says little."""
    return reading.confidence * len(reading.text)
