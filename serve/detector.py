"""The detector's deployment: documents in, pages out; words are read by the other deployment."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from pydantic import ValidationError
from ray.exceptions import RayActorError
from ray.serve.handle import DeploymentHandle

from ocr_model.bundle import BundleInfo
from ocr_model.config import explain
from ocr_model.detection.maps import AnyPixels, TextDetector, TextMaps
from ocr_model.errors import OCRError
from ocr_model.inference.documents import DocumentConfig, PageImage, open_pages
from ocr_model.inference.page_reader import PageReader
from ocr_model.inference.pages import Page
from ocr_model.inference.reader_config import PageReaderConfig, ReadingConfig

from .batcher import Batcher
from .config import PagesConfig
from .limits import LimitsConfig
from .messages import Fault, PageOptions, PagesAnswer, WordOptions
from .metrics import PageMetrics
from .pools import run_in
from .remote_words import RECOGNIZER_GONE, RefusedError, RemoteRecognizer, go_on
from .threads import ThreadsAlone, use_threads

_WARM_UP_SIDE = 256
_KNOWN_SECONDS = 5.0  # a model that has just come is not found by its name for so long
_PAGES_AT_A_TIME = 3  # of a document: one is drawn, one searched, and of one the words are read


class PageService:
    """Reads documents; a plain class, which Ray Serve runs as a deployment."""

    def __init__(
        self,
        config: PagesConfig,
        limits: LimitsConfig,
        words: DeploymentHandle[Any],
        word_replicas: int,
    ) -> None:
        """Load the detector and warm it up; `words` has so many replicas.

        Raises:
            BundleError: Its weights are missing, incomplete or altered.
        """
        self._config, self._limits = config, limits
        self._words, self._word_replicas = words, word_replicas
        self._infos: dict[str, BundleInfo] = {}
        self._default_model, self._known_until = "", 0.0
        chosen = PageReaderConfig(
            detector=config.detector, device=config.device, precision=config.precision
        )
        self._threads = ThreadsAlone(config.threads_alone)
        self._detector = BatchedDetector(chosen.load_detector(), config.batch_pixels, self._threads)
        self._readers = ThreadPoolExecutor(config.max_ongoing_requests, "documents")
        self._metrics = PageMetrics()
        self._find_nothing()

    async def read(self, document: bytes, options: PageOptions) -> PagesAnswer:
        """Read a picture or a PDF; a page that cannot be read says why in `error`.

        Cancelled, it stops before the next network is run.
        """
        try:
            await self._learn_models()
            return await self._read_apart(document, options)
        except RayActorError:
            return RECOGNIZER_GONE

    async def is_ready(self) -> bool:
        """Return that this replica answers and knows the models."""
        await self._learn_models()
        return True

    async def check_health(self) -> None:
        """Run the detector.

        Raises:
            RuntimeError: The batcher's thread has ended, or the network does not compute.
        """
        await asyncio.to_thread(self._find_nothing)

    async def _read_apart(self, document: bytes, options: PageOptions) -> PagesAnswer:
        """Read in a thread; cancelled, hold the request's place until that has stopped."""
        stop = threading.Event()
        reading = asyncio.create_task(run_in(self._readers, self._read, document, options, stop))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([reading])
            raise

    async def _learn_models(self) -> None:
        """Ask, from time to time, what the recognisers take: words are cut out for them."""
        if time.monotonic() < self._known_until:
            return
        self._default_model, self._infos = await self._words.infos.remote()
        self._known_until = time.monotonic() + _KNOWN_SECONDS

    def _read(self, document: bytes, options: PageOptions, stop: threading.Event) -> PagesAnswer:
        name = options.words.model or self._default_model
        info = self._infos.get(name)
        if info is None:
            known = ", ".join(self._infos)
            return Fault("unknown_model", f"there is no model {name!r}; there are {known}")
        words = RemoteRecognizer(
            self._words, self._word_replicas, info, self._words_of(options), stop
        )
        try:
            config = self._reading(options)
            reader = PageReader(_StoppingDetector(self._detector, stop), words, config)
            images = _opened(document, config.documents, stop)
            pages = list(_read_pages(reader, images, stop, self._threads))
        except RefusedError as error:
            return error.fault
        except ValidationError as error:
            return Fault("bad_setting", "; ".join(explain(DocumentConfig, error)))
        except OCRError as error:
            return Fault("bad_setting", str(error))
        self._metrics.report(pages)
        return pages

    def _words_of(self, options: PageOptions) -> WordOptions:
        words = options.words
        if words.lexicon or words.characters is not None or words.language is not None:
            return words
        return replace(words, language=self._config.reading.language)

    def _reading(self, options: PageOptions) -> ReadingConfig:
        reading = self._config.reading
        least = options.min_confidence
        return reading.replace(
            documents=self._limits.documents(reading.documents, options),
            orientation=options.orientation,
            language=None,  # the recogniser's deployment is told
            min_confidence=reading.min_confidence if least is None else least,
        )

    def _find_nothing(self) -> None:
        self._detector.find([np.full((_WARM_UP_SIDE, _WARM_UP_SIDE, 3), 255, np.uint8)])


class BatchedDetector(TextDetector):
    """A detector whose batches have the pages of several threads."""

    def __init__(self, detector: TextDetector, batch_pixels: int, threads: ThreadsAlone) -> None:
        """Take a detector over; `batch_pixels` are those of the pages, unscaled."""
        self.boxes, self._detector = detector.boxes, detector
        self._batch_pixels, self._threads = batch_pixels, threads
        self._batcher = Batcher[AnyPixels, TextMaps](self._compute, 1.0)

    def find(self, images: Sequence[AnyPixels]) -> list[TextMaps]:
        """Wait for a batch."""
        cost = sum(image.shape[0] * image.shape[1] for image in images) / self._batch_pixels
        return self._batcher.submit(images, cost=cost, key=self._threads.number).result()

    def _compute(self, key: Hashable, images: list[AnyPixels]) -> list[TextMaps]:
        assert isinstance(key, int)
        use_threads(key)
        return self._detector.find(images)


class _StoppingDetector(TextDetector):
    """One request's view of the detector: it finds nothing more once the request is gone."""

    def __init__(self, detector: BatchedDetector, stop: threading.Event) -> None:
        self.boxes, self._detector, self._stop = detector.boxes, detector, stop

    def find(self, images: Sequence[AnyPixels]) -> list[TextMaps]:
        go_on(self._stop)
        return self._detector.find(images)


def _read_pages(
    reader: PageReader, images: Iterable[PageImage], stop: threading.Event, threads: ThreadsAlone
) -> Iterator[Page]:
    """Read pages in their order, some at a time; `stop` is set where one cannot be read."""
    remaining = iter(images)

    def read(image: PageImage) -> list[Page]:
        with threads.joined():
            return list(reader.read_images([image]))

    with ThreadPoolExecutor(_PAGES_AT_A_TIME) as pool:

        def start(image: PageImage) -> Future[list[Page]]:
            # Ray finds there which request a call is of.
            return pool.submit(copy_context().run, read, image)

        try:
            ahead = deque(map(start, islice(remaining, _PAGES_AT_A_TIME)))
            while ahead:
                yield from ahead.popleft().result()
                ahead.extend(map(start, islice(remaining, 1)))
        except BaseException:
            stop.set()
            raise


def _opened(document: bytes, config: DocumentConfig, stop: threading.Event) -> Iterator[PageImage]:
    for page in open_pages(document, config):
        go_on(stop)
        yield page
