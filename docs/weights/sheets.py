"""Draw what the models in the box make of rendered words and pages that no run was trained on.

uv run docs/weights/sheets.py
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from ocr_model import Recognizer
from ocr_model.config import load_config
from ocr_model.data.synthetic.pages import KindShares, PageConfig, RenderedPage, render_page
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.detection.boxes import find_words
from ocr_model.detection.compact import load_detector
from ocr_model.detection.maps import TextDetector
from ocr_model.detection.quads import areas_of, intersections, over_unions
from ocr_model.detection.scoring import LEAST_IOU
from ocr_model.image import Pixels, decode_image
from ocr_model.training.config import TrainConfig
from ocr_model.visualize.overlays import overlay_quads
from ocr_model.visualize.words import draw_samples
from ocr_model.weights import DETECTOR, RECOGNIZER, SYNTHETIC_RECOGNIZER

FOLDER = Path(__file__).parent
FIRST_STAGE = FOLDER.parents[1] / "jobs" / "configs" / "embedded_recognizer.yaml"
SEED = 2_000_000  # no run had it; texts are of the part that is kept for validation besides
NUM_WORDS = 60
MOST_FREQUENT = 5_000  # words of the language; among rarer ones are some that nobody wants to see
PAGE = 2  # number of the page of each kind
MAX_CHARS = 16  # of a word of the sheets, so that text and reading fit above its picture
ATTENDED_ASPECT = 5.0  # width to height of the word whose attention is drawn
UNDITHERED = Image.Dither.NONE
FOUND, TOO_MUCH, MISSED = (26, 127, 55), (220, 40, 30), (20, 80, 220)


def main() -> None:
    """Write PNGs beside this file."""
    images, labels = draw_words()
    aspects = np.array([image.shape[1] / image.shape[0] for image in images])
    attended = images[int(np.abs(aspects - ATTENDED_ASPECT).argmin())]
    for name in (RECOGNIZER, SYNTHETIC_RECOGNIZER):
        recognizer = Recognizer.load(name)
        readings = recognizer.read(images)
        texts = [reading.text for reading in readings]
        num_right = sum(text == label for text, label in zip(texts, labels, strict=True))
        print(f"{name}: {num_right} of {NUM_WORDS} exactly")  # noqa: T201  # a script's own
        sheet = draw_samples(images, labels, texts, [reading.confidence for reading in readings])
        _write(f"{name}-readings.png", decode_image(sheet))
        _write(f"{name}-attention.png", decode_image(recognizer.attend(attended).picture()))
    detector = load_detector(DETECTOR)
    for kind in KindShares.model_fields:
        shares = KindShares(**{name: float(name == kind) for name in KindShares.model_fields})
        lexicon = PageConfig().lexicon.replace(size=MOST_FREQUENT)
        config = PageConfig(kinds=shares, lexicon=lexicon)
        page = render_page(config, SEED, PAGE, is_validation=True)
        _write(f"{DETECTOR}-{kind}.png", draw_boxes(page, detector))


def draw_words() -> tuple[list[Pixels], list[str]]:
    """Render words as the first stage of the recognisers was trained on, of full difficulty."""
    source = load_config(TrainConfig, FIRST_STAGE).data
    assert isinstance(source, SyntheticSource)
    lexicon = source.lexicon.replace(size=MOST_FREQUENT, max_chars=MAX_CHARS)
    source = source.replace(seed=SEED, num_validation_words=NUM_WORDS, lexicon=lexicon)
    (fragment,) = source.fragments("validation")
    samples = source.read(fragment, np.arange(NUM_WORDS), epoch=0)
    drawn = [s for s in samples if s.image is not None and s.label]
    return [decode_image(s.image) for s in drawn], [s.label for s in drawn]


def draw_boxes(page: RenderedPage, detector: TextDetector) -> Pixels:
    """Draw what is found and right, what is found and is no word, and the words that are missed."""
    truths = np.array([word.quad for word in page.words], np.float32)
    found = find_words(detector.find([page.pixels])[0], detector.boxes).quads
    ious = over_unions(intersections(truths, found), areas_of(truths), areas_of(found))
    is_right, is_found = ious.max(0, initial=0) > LEAST_IOU, ious.max(1, initial=0) > LEAST_IOU
    counts = f"{is_found.sum()} of {len(truths)} words, {(~is_right).sum()} boxes of none"
    print(f"{page.kind}: {counts}")  # noqa: T201  # a script's own
    drawn = overlay_quads(page.pixels, found[is_right], colour=FOUND)
    drawn = overlay_quads(drawn, found[~is_right], colour=TOO_MUCH)
    return overlay_quads(drawn, truths[~is_found], colour=MISSED)


def _write(name: str, pixels: Pixels) -> None:
    picture = Image.fromarray(pixels).quantize(128, Image.Quantize.FASTOCTREE, dither=UNDITHERED)
    buffer = io.BytesIO()
    picture.save(buffer, format="png", optimize=True)
    (FOLDER / name).write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
