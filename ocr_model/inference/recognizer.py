"""`Recognizer`: pictures of words in, texts with confidences out."""

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image

from ocr_model.arguments import require_count, require_type
from ocr_model.bundle import Bundle
from ocr_model.decoding.lexicon import Lexicon, Trie
from ocr_model.decoding.options import DecodeOptions
from ocr_model.decoding.readings import Prediction, Readings, to_predictions
from ocr_model.devices import Precision
from ocr_model.errors import ConfigError
from ocr_model.exports import Kind
from ocr_model.image import PADDING_VALUE, ImageInput, decode_image, padded_width
from ocr_model.inference.lexicons import normalized
from ocr_model.inference.looks import ReadParts, other_looks, read_views, surest
from ocr_model.inference.options import AS_USUAL, UPRIGHT, ReadOptions
from ocr_model.inference.preparing import Part, Prepared, prepare
from ocr_model.inference.runtimes import Runtime, TorchRuntime, load_runtime
from ocr_model.models.attention_maps import AttentionMaps
from ocr_model.weights import RECOGNIZER

_WINDOW = 512  # images that are sorted by width together, and prepared ahead
_MOST_THREADS = 8
_MOST_LEXICONS = 4

logger = logging.getLogger(__name__)


class Recognizer:
    """Reads words with a bundle. May be used by several threads at once."""

    def __init__(
        self,
        model: Bundle | Runtime,
        *,
        device: str | torch.device = "cpu",
        precision: Precision = "auto",
    ) -> None:
        """Put a bundle's model on `device`, or take what runs one.

        `precision` is that of the network (on a CPU, steps of a decoder are in fp32 whatever it
        is): `auto` is bf16 where the device computes in it, else fp16 on a GPU, fp32 on a CPU.

        Raises:
            ConfigError: There is no such device here.
        """
        self.runtime: Runtime = (
            TorchRuntime(model, device=device, precision=precision)
            if isinstance(model, Bundle)
            else model
        )
        self.info, self.charset = self.runtime.info, self.runtime.charset
        self.device = self.runtime.device
        self._tries: dict[tuple[Lexicon, str | None], Trie] = {}
        self._lock = threading.Lock()  # two batches at once would only share the device

    @classmethod
    def load(
        cls,
        path: str | Path = RECOGNIZER,
        *,
        device: str | torch.device | None = None,
        precision: Precision = "auto",
        kind: Kind = "torch",
    ) -> "Recognizer":
        """Load a bundle, or one in the box by its name; on a GPU where there is one, unless told.

        `kind` is `torch`, or one that jobs/export.py has made: `half` (the same computation, files
        half as large), `onnx` or `int8`. On a CPU that computes in bf16, only `int8` may be faster
        than `torch`; docs/reading.md has figures.

        Raises:
            BundleError: The folder is incomplete, altered or of another kind, or has no such kind.
            ConfigError: There is no such device here, a setting is not of this kind, or what the
                kind needs is not installed.
        """
        return cls(load_runtime(path, kind, device=device, precision=precision))

    def read(
        self,
        images: Sequence[ImageInput],
        options: ReadOptions = AS_USUAL,
        *,
        batch_size: int = 64,
    ) -> list[Prediction]:
        """Read words, in their order.

        A picture that cannot be read has an empty text and says why in `error`. One without a word
        is read as if it had one, mostly with a low confidence (docs/reading.md). What is read in a
        picture does not depend on the others; in half precision, rounding does, by which
        confidences of one look differed by up to 0.01 and no text of some 1,500.

        Args:
            images: Encoded bytes, RGB or grey arrays, or Pillow images, of any size.
            options: How to read.
            batch_size: Images of the model's full width that are read together; of narrower ones,
                as many more as have as many pixels.

        Raises:
            TypeError: `images` is one picture, not a list.
            CharsetError: `options.characters` has some that the model does not know.
            ConfigError: `batch_size` is not 1 or more, or no word of the lexicon can be read.
        """
        given: object = images  # bytes are a sequence too, of ints
        is_picture = isinstance(given, np.ndarray) and given.ndim != 4
        if is_picture or isinstance(given, bytes | bytearray | memoryview | str | Image.Image):
            raise TypeError(f"read takes a list of images, got one {type(given).__name__}")
        return list(self.read_all(images, options, batch_size=batch_size))

    def read_all(
        self,
        images: Iterable[ImageInput],
        options: ReadOptions = AS_USUAL,
        *,
        batch_size: int = 64,
    ) -> Iterator[Prediction]:
        """Read any number of words as they come, in their order; memory stays flat.

        Images are decoded and scaled ahead, by threads, while the device works. Options are checked
        by the call, before the first reading is asked for.

        Raises:
            CharsetError: As `read`.
            ConfigError: As `read`.
        """
        require_count("batch_size", batch_size)
        require_type("options", options, ReadOptions)
        prepare_one = partial(prepare, geometry=self.info.geometry, options=options)
        read_parts = partial(
            self._read_parts, options=self._decode_options(options), batch_size=batch_size
        )
        return self._read_ahead(iter(images), prepare_one, read_parts, options.second_look_below)

    def _read_ahead(
        self,
        remaining: Iterator[ImageInput],
        prepare_one: Callable[[ImageInput], Prepared],
        read_parts: ReadParts,
        sure_from: float,
    ) -> Iterator[Prediction]:
        num_threads = min(_MOST_THREADS, os.cpu_count() or 1)
        with ThreadPoolExecutor(num_threads) as pool:
            ahead = deque[list[Future[Prepared]]]()
            while window := list(islice(remaining, _WINDOW)):
                ahead.append([pool.submit(prepare_one, image) for image in window])
                if len(ahead) > 1:
                    yield from self._read_window(ahead.popleft(), read_parts, sure_from)
            while ahead:
                yield from self._read_window(ahead.popleft(), read_parts, sure_from)

    def attend(self, image: ImageInput, *, characters: str | None = None) -> AttentionMaps:
        """Read one word, greedily, and say where each of its characters was seen.

        It is read as it is given, not turned, once, and as a whole: one too wide for the model,
        which `read` cuts in parts, is squeezed. So of high and of long crops, and of words that are
        read unsurely, the text may be another.

        Raises:
            ImageError: It is not a usable picture.
            CharsetError: As `read`.
            ConfigError: The recogniser is of a kind that has no weights of attention.
        """
        if not isinstance(self.runtime, TorchRuntime):
            raise ConfigError("exported graphs give no attention: load the bundle with kind=torch")
        pixels = decode_image(image)
        options = self._decode_options(ReadOptions(characters=characters))
        with self._lock:
            return self.runtime.attend(pixels, max_chars=self.info.max_chars, options=options)

    def read_fitted(
        self,
        images: UInt8[np.ndarray, "batch height width 3"],
        content_width: np.ndarray,
        options: DecodeOptions | None = None,
    ) -> Readings:
        """Read one batch of the model's height, padded on the right; `content_width` without it."""
        options = options or self._decode_options(UPRIGHT)
        with self._lock:
            return self.runtime.read(
                images, content_width, max_chars=self.info.max_chars, options=options
            )

    def _read_window(
        self, futures: list[Future[Prepared]], read_parts: ReadParts, sure_from: float
    ) -> list[Prediction]:
        prepared = [future.result() for future in futures]
        found = [
            surest(readings) if readings else Prediction("", 0.0, (), error=one.error)
            for one, readings in zip(
                prepared, read_views([one.views for one in prepared], read_parts), strict=True
            )
        ]
        looks = [
            other_looks(one.views, reading, self.info.geometry, sure_from)
            for one, reading in zip(prepared, found, strict=True)
        ]
        again = read_views(looks, read_parts)
        return [surest([first, *others]) for first, others in zip(found, again, strict=True)]

    def _read_parts(
        self, parts: list[Part], *, options: DecodeOptions, batch_size: int
    ) -> list[Prediction]:
        """Read images of the model's height; search for none that is read surely without.

        Not with CTC, of which a greedy confidence is that of one path to a text, not the text's.
        """
        if not (options.needs_search and options.sure_from < 1 and self.info.model.writes):
            return self._read_batches(parts, options, batch_size)
        greedy = replace(options, num_beams=1, trie=None, lexicon_bonus=None)
        found = self._read_batches(parts, greedy, batch_size)
        unsure = [i for i, each in enumerate(found) if each.confidence < options.sure_from]
        searched = self._read_batches([parts[i] for i in unsure], options, batch_size)
        for i, prediction in zip(unsure, searched, strict=True):
            found[i] = prediction
        return found

    def _read_batches(
        self, parts: list[Part], options: DecodeOptions, batch_size: int
    ) -> list[Prediction]:
        """Read images of the model's height, those of like width together."""
        order = sorted(range(len(parts)), key=lambda i: -parts[i].shape[1])
        found: list[Prediction | None] = [None] * len(parts)
        most_columns = batch_size * self.info.geometry.width
        start = 0
        while start < len(order):
            width = min(padded_width(parts[order[start]].shape[1]), self.info.geometry.width)
            chosen = order[start : start + max(1, most_columns // width)]
            start += len(chosen)
            images, widths = _pad([parts[i] for i in chosen], width)
            predictions = to_predictions(self.read_fitted(images, widths, options), self.charset)
            for i, prediction in zip(chosen, predictions, strict=True):
                found[i] = prediction
        return [prediction for prediction in found if prediction is not None]

    def _decode_options(self, options: ReadOptions) -> DecodeOptions:
        is_allowed, lexicon = None, options.lexicon
        if options.characters is not None:
            is_allowed = torch.zeros(self.charset.num_classes, dtype=torch.bool, device=self.device)
            is_allowed[self.charset.encode(options.characters)] = True
        return DecodeOptions(
            num_beams=options.beams,
            length_penalty=options.length_penalty,
            is_allowed=is_allowed,
            trie=None if lexicon is None else self._trie(lexicon, options.characters, is_allowed),
            lexicon_bonus=None if lexicon is None else lexicon.bonus,
            temperature=self.info.temperature,
        )

    def _trie(
        self,
        lexicon: Lexicon,
        characters: str | None,
        is_allowed: Bool[torch.Tensor, " classes"] | None,
    ) -> Trie:
        """Compile a lexicon; the last ones are kept, as services ask with the same again."""
        key = (lexicon, characters)
        with self._lock:
            found = self._tries.pop(key, None)
            if found is None:
                found = Trie.compile(
                    normalized(lexicon, self.info.normalization),
                    self.charset,
                    max_chars=self.info.max_chars,
                    is_allowed=is_allowed,
                ).to(self.device)
                if found.num_left_out:
                    logger.warning("%d words of the lexicon cannot be read", found.num_left_out)
            self._tries[key] = found
            if len(self._tries) > _MOST_LEXICONS:
                del self._tries[next(iter(self._tries))]  # the one that was used longest ago
        return found


def _pad(
    parts: list[Part], width: int
) -> tuple[UInt8[np.ndarray, "batch height {width} 3"], np.ndarray]:
    images = np.full((len(parts), parts[0].shape[0], width, 3), PADDING_VALUE, np.uint8)
    for image, part in zip(images, parts, strict=True):
        image[:, : part.shape[1]] = part
    return images, np.array([part.shape[1] for part in parts])
