"""Several looks at a word: turned to other sides, or, where it was read unsurely, scaled otherwise.

The surest of several readings is more often right than the first (test-time augmentation). Which
looks bring most was tried on held-out words of five sets; docs/reading.md has the figures.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import cv2

from ocr_model.decoding.readings import Prediction, sureness
from ocr_model.image import ImageGeometry, content_columns, resize_image
from ocr_model.inference.long_words import join_parts
from ocr_model.inference.options import HOPELESS
from ocr_model.inference.preparing import Part, View

ReadParts = Callable[[list[Part]], list[Prediction]]

_WIDER = 1.4
_MARGIN = 0.1  # of the height, on each side


def read_views(views: Sequence[list[View]], read_parts: ReadParts) -> list[list[Prediction]]:
    """Read the views of many words together."""
    parts = [part for several in views for view in several for part in view.parts]
    readings = iter(read_parts(parts))
    return [[_read_view(view, readings) for view in several] for several in views]


def surest(predictions: Sequence[Prediction]) -> Prediction:
    """Return the reading whose characters are the surest, on the average; the first of equals.

    On its side, a high crop holds a word: a single character there is another one lying down.
    """
    sideways = (90, 270)
    believable = [p for p in predictions if p.rotation not in sideways or len(p.text) > 1]
    return max(believable or predictions, key=sureness)


def other_looks(
    views: list[View], read: Prediction, geometry: ImageGeometry, sure_from: float
) -> list[View]:
    """Return, of the view that was read, one with a margin, and one as much wider as may be.

    None where it was read surely, or so that nothing will help.
    """
    if not HOPELESS <= sureness(read) < sure_from:
        return []
    (view,) = (each for each in views if each.rotation == read.rotation)
    looks = [replace(view, parts=[_with_margin(part, geometry) for part in view.parts])]
    widened = [_widened(part, geometry) for part in view.parts]
    if any(new.shape != old.shape for new, old in zip(widened, view.parts, strict=True)):
        looks.append(replace(view, parts=widened))
    return looks


def _read_view(view: View, readings: Iterator[Prediction]) -> Prediction:
    parts = list(islice(readings, len(view.parts)))
    joined = parts[0] if len(parts) == 1 else join_parts(parts, view.bounds)
    return replace(joined, rotation=view.rotation) if view.rotation else joined


def _with_margin(part: Part, geometry: ImageGeometry) -> Part:
    """Continue the border outwards, and scale what is then larger to the model's height."""
    side = max(1, round(_MARGIN * part.shape[0]))
    larger = cv2.copyMakeBorder(part, side, side, side, side, cv2.BORDER_REPLICATE)
    height, width = larger.shape[:2]
    return resize_image(larger, geometry.height, content_columns(height, width, geometry))


def _widened(part: Part, geometry: ImageGeometry) -> Part:
    height, width = part.shape[:2]
    wider = min(round(_WIDER * width), geometry.width)
    return cv2.resize(part, (wider, height), interpolation=cv2.INTER_CUBIC)
