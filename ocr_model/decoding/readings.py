"""What decoding gives: class ids with probabilities on the device, texts for people."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from ocr_model.charset import Charset


@dataclass
class Readings:
    """Decoded class ids of a batch."""

    class_ids: Int[Tensor, "batch chars"]
    """Padded on the right with `<PAD>`."""
    char_confidences: Float[Tensor, "batch chars"]
    """Probability of each character, in `[0, 1]`; 1 behind the end."""
    num_chars: Int[Tensor, " batch"]
    confidences: Float[Tensor, " batch"]
    """Probability of the whole reading, its end included."""
    attention: Float[Tensor, "batch layers heads chars tokens"] | None = None
    """Cross-attention weights, where asked for and where the model has any."""
    frames: Float[Tensor, "batch time classes"] | None = None
    """Probabilities of a CTC model's columns, where asked for; padding is all blank."""


@dataclass(frozen=True)
class Prediction:
    """The reading of one word image."""

    text: str
    confidence: float
    """Probability that the whole text is right, in `[0, 1]`. Of an empty text it is 0: no label of
    the training is empty, so nothing is known of how often one is right."""
    char_confidences: tuple[float, ...]
    """One per character of `text`, in `[0, 1]`."""
    rotation: int = 0
    """Degrees clockwise by which the image was turned to be read: 0, 90, 180 or 270."""
    error: str = ""
    """Why there is no reading: what is wrong with the image."""


def sureness(prediction: Prediction) -> float:
    """Return how sure a reading's characters are, on the average: by it, readings compare."""
    return float(prediction.confidence ** (1 / (1 + len(prediction.text))))


def to_predictions(readings: Readings, charset: Charset) -> list[Prediction]:
    """Turn class ids into texts, in the order of the batch."""
    class_ids = readings.class_ids.cpu().numpy()
    char_confidences = readings.char_confidences.float().cpu().numpy().astype(np.float64)
    confidences = readings.confidences.float().cpu().tolist()
    predictions = []
    for row, length in enumerate(readings.num_chars.tolist()):
        text = charset.decode(class_ids[row, :length].tolist())
        chars = tuple(char_confidences[row, :length].tolist())
        predictions.append(Prediction(text, confidences[row] if text else 0.0, chars))
    return predictions
