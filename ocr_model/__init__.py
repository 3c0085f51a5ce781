"""OCR on Ray: train text recognisers, read with them, serve them.

Names are loaded when first used: data workers import this package and must not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocr_model.decoding.lexicon import Lexicon
    from ocr_model.decoding.readings import Prediction
    from ocr_model.errors import OCRError
    from ocr_model.inference.ensembles import Ensemble
    from ocr_model.inference.options import ReadOptions
    from ocr_model.inference.page_reader import PageReader
    from ocr_model.inference.pages import Page
    from ocr_model.inference.recognizer import Recognizer

__all__ = [
    "Ensemble",
    "Lexicon",
    "OCRError",
    "Page",
    "PageReader",
    "Prediction",
    "ReadOptions",
    "Recognizer",
]

_ROOMS = {
    "Ensemble": "ocr_model.inference.ensembles",
    "Lexicon": "ocr_model.decoding.lexicon",
    "OCRError": "ocr_model.errors",
    "Page": "ocr_model.inference.pages",
    "PageReader": "ocr_model.inference.page_reader",
    "Prediction": "ocr_model.decoding.readings",
    "ReadOptions": "ocr_model.inference.options",
    "Recognizer": "ocr_model.inference.recognizer",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401  # PEP 562: any public name
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)
