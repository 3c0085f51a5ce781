"""The recogniser's deployment: words of many requests and pages in shared batches."""

import asyncio
import logging
from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np

from ocr_model.bundle import BundleInfo
from ocr_model.decoding.lexicon import Lexicon
from ocr_model.decoding.readings import Prediction
from ocr_model.errors import CharsetError, ConfigError, ImageError, OCRError
from ocr_model.image import Pixels, content_columns, decode_image, padded_width
from ocr_model.inference.options import ReadOptions
from ocr_model.inference.recognizer import Recognizer
from ocr_model.models.attention_maps import AttentionMaps

from .batcher import Batcher
from .config import ModelChoice, ModelsConfig, WordsConfig
from .messages import Fault, Reading, UserConfig, WordJob, WordOptions, WordsAnswer
from .metrics import WordMetrics
from .pools import run_in
from .protocol import AttentionAnswer, ModelAnswer, ModelsAnswer

_WARM_UP_WIDTHS = (1, 2, 4)  # heights
_DECODERS = 4  # threads: the next calls' pictures are decoded beside the network
_MOST_MAP_CELLS = 96  # of an attention map's longer side, which is drawn over a word on a screen

logger = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class _Models:
    """What is asked for by name; replaced as a whole, so no call sees half of a change."""

    default: str
    by_name: dict[str, tuple[ModelChoice, Recognizer]]
    refused: str = ""
    """Why those that came last are not these."""


@dataclass(frozen=True)
class _Key:
    """What words of one batch have in common."""

    model: str
    recognizer: Recognizer
    options: ReadOptions


class WordReader:
    """Reads words; a plain class, which Ray Serve runs as a deployment."""

    def __init__(self, config: WordsConfig, max_word_pixels: int) -> None:
        """Start the batcher; models come with `reconfigure`."""
        self._config, self._max_word_pixels = config, max_word_pixels
        self._models: _Models | None = None
        self._metrics = WordMetrics()
        self._decoders = ThreadPoolExecutor(_DECODERS, "pictures")
        self._batcher = Batcher[Pixels, Reading](self._compute, 1.0, self._metrics.report)

    async def reconfigure(self, user_config: UserConfig) -> None:
        """Load the models that are named and warm them up, then let them take over.

        Those that stay the same are kept. Calls under way end with the model they began with. Where
        one cannot be loaded all former ones go on, as Ray ends a replica that raises here, and with
        each of them the service.

        Raises:
            ValueError: `user_config` is not as `ModelsConfig` says, and there are no former ones.
            BundleError: One is missing, incomplete or altered; the same.
        """
        try:
            self._models = await asyncio.to_thread(self._load, user_config)
        except (ValueError, OCRError) as error:
            if self._models is None:
                raise
            logger.exception("the former models go on")
            self._models = replace(self._models, refused=str(error))
        logger.info("models: %s", ", ".join(self._models.by_name))

    async def read(self, jobs: Sequence[WordJob]) -> list[WordsAnswer]:
        """Read the words of several requests; what is wrong with one does not touch the others."""
        return list(await asyncio.gather(*(self._read_job(job) for job in jobs)))

    async def attend(self, image: bytes, options: WordOptions) -> AttentionAnswer | Fault:
        """Read one upright word and say where each character was seen."""
        try:
            return await run_in(self._decoders, self._attend, image, options)
        except ImageError as error:
            return Fault("bad_image", str(error))
        except _UnknownModelError as error:
            return Fault("unknown_model", str(error))
        except ConfigError as error:
            return Fault("no_attention", str(error))
        except CharsetError as error:
            return Fault("bad_setting", str(error))

    async def describe(self) -> ModelsAnswer:
        """Return all models, and the default's name."""
        models = self._loaded()
        described = [
            _description(name, choice, recognizer)
            for name, (choice, recognizer) in models.by_name.items()
        ]
        return ModelsAnswer(default=models.default, models=described, refused=models.refused)

    async def infos(self) -> tuple[str, dict[str, BundleInfo]]:
        """Return the default's name, and what all models take."""
        models = self._loaded()
        return models.default, {name: r.info for name, (_, r) in models.by_name.items()}

    async def check_health(self) -> None:
        """Run the default model.

        Raises:
            RuntimeError: The batcher's thread has ended, or the model does not compute.
        """
        if not self._batcher.is_alive:
            raise RuntimeError("the batcher's thread has ended")
        if self._models is not None:
            _, recognizer = self._models.by_name[self._models.default]
            await asyncio.to_thread(_warm_up, recognizer, _WARM_UP_WIDTHS[:1])

    def _load(self, user_config: UserConfig) -> _Models:
        former = {} if self._models is None else self._models.by_name
        by_name = {}
        config = ModelsConfig.model_validate(user_config)
        for name, choice in config.models.items():
            if name in former and former[name][0] == choice:
                by_name[name] = former[name]
                continue
            recognizer = Recognizer.load(
                choice.bundle,
                kind=choice.kind,
                device=self._config.device,
                precision=self._config.precision,
            )
            _warm_up(recognizer, _WARM_UP_WIDTHS)
            by_name[name] = (choice, recognizer)
        return _Models(config.default_model, by_name)

    def _attend(self, image: bytes, options: WordOptions) -> AttentionAnswer:
        recognizer = self._key(options).recognizer
        pixels = decode_image(image, max_pixels=self._max_word_pixels)
        maps = recognizer.attend(pixels, characters=options.characters)
        height, width = pixels.shape[:2]
        return AttentionAnswer(
            text=maps.prediction.text,
            confidence=maps.prediction.confidence,
            char_confidences=list(maps.prediction.char_confidences),
            width=width,
            height=height,
            maps=_grids(maps),
        )

    async def _read_job(self, job: WordJob) -> WordsAnswer:
        try:
            key, decoded = await run_in(self._decoders, self._prepare, job)
            pixels = [image for image in decoded if not isinstance(image, Reading)]
            readings = iter(await self._submit(pixels, key))
        except _UnknownModelError as error:
            return Fault("unknown_model", str(error))
        except OCRError as error:
            return Fault("bad_setting", str(error))
        return [image if isinstance(image, Reading) else next(readings) for image in decoded]

    def _prepare(self, job: WordJob) -> tuple[_Key, list[Pixels | Reading]]:
        return self._key(job.options), _decode(job.images, self._max_word_pixels)

    async def _submit(self, pixels: list[Pixels], key: _Key) -> list[Reading]:
        if not pixels:
            return []
        geometry = key.recognizer.info.geometry
        columns = [content_columns(p.shape[0], p.shape[1], geometry) for p in pixels]
        padded = sum(map(padded_width, columns))
        cost = padded / (self._config.batch_words * geometry.width)
        return await asyncio.wrap_future(self._batcher.submit(pixels, cost=cost, key=key))

    def _compute(self, key: Hashable, images: list[Pixels]) -> list[Reading]:
        assert isinstance(key, _Key)
        predictions = key.recognizer.read(images, key.options, batch_size=self._config.batch_words)
        return [_to_reading(prediction) for prediction in predictions]

    def _key(self, options: WordOptions) -> _Key:
        models = self._loaded()
        name = options.model or models.default
        if name not in models.by_name:
            known = ", ".join(models.by_name)
            raise _UnknownModelError(f"there is no model {name!r}; there are {known}")
        _, recognizer = models.by_name[name]
        return _Key(name, recognizer, _read_options(options))

    def _loaded(self) -> _Models:
        assert self._models is not None, "Ray Serve calls reconfigure before any request"
        return self._models


class _UnknownModelError(OCRError):
    pass


@lru_cache(maxsize=8)
def _read_options(options: WordOptions) -> ReadOptions:
    lexicon = None
    if options.lexicon:
        lexicon = Lexicon(options.lexicon, bonus=options.lexicon_bonus)
    elif options.language:
        lexicon = Lexicon.of_language(options.language)
    return ReadOptions(
        characters=options.characters,
        lexicon=lexicon,
        orientations=options.orientations,
        second_look_below=options.second_look_below,
    )


def _decode(images: Sequence[bytes | Pixels], max_pixels: int) -> list[Pixels | Reading]:
    """Decode what is encoded, until there are too many pixels; small files may have very many."""
    decoded: list[Pixels | Reading] = []
    for image in images:
        if not isinstance(image, bytes):  # cut out of a page
            decoded.append(image)
            continue
        try:
            pixels = decode_image(image, max_pixels=max_pixels)
        except ImageError as error:
            decoded.append(Reading("", 0.0, (), error=str(error)))
        else:
            decoded.append(pixels)
            max_pixels -= pixels.shape[0] * pixels.shape[1]
    return decoded


def _to_reading(prediction: Prediction) -> Reading:
    return Reading(
        prediction.text,
        prediction.confidence,
        prediction.char_confidences,
        prediction.rotation,
        prediction.error,
    )


def _grids(maps: AttentionMaps) -> list[list[list[float]]]:
    """Return the maps in [0, 1] and of a size that is soon sent, whatever the picture's is."""
    height, width = maps.image.shape[:2]
    factor = min(1.0, _MOST_MAP_CELLS / max(height, width))
    size = max(1, round(height * factor)), max(1, round(width * factor))
    small = replace(maps, image=np.empty((*size, 3), np.uint8)).per_char()
    highest = small.max((1, 2), keepdims=True, initial=1e-9)
    grids: list[list[list[float]]] = (small / highest).clip(0, 1).astype(float).round(3).tolist()
    return grids


def _description(name: str, choice: ModelChoice, recognizer: Recognizer) -> ModelAnswer:
    info = recognizer.info
    return ModelAnswer(
        name=name,
        bundle=choice.bundle,
        kind=choice.kind,
        architecture=info.model.name,
        charset=info.charset,
        max_chars=info.max_chars,
        image_height=info.geometry.height,
        image_width=info.geometry.width,
        metrics=info.metrics,
        weights_sha256=info.weights_sha256,
    )


def _warm_up(recognizer: Recognizer, widths: Sequence[int]) -> None:
    """Read grey pictures of several widths: the first batches of a shape take longer."""
    height = recognizer.info.geometry.height
    grey = partial(np.full, fill_value=127, dtype=np.uint8)
    for reading in recognizer.read([grey((height, width * height, 3)) for width in widths]):
        if reading.error:
            raise RuntimeError(f"the model does not read: {reading.error}")
