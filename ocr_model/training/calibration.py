"""Confidences that are probabilities: one temperature, fitted on the validation part.

Source: Guo et al. 2017 (arXiv:1706.04599), section 4.2, with the loss of whole words in place of
classes: a word's confidence is the product of its characters'.
"""

from collections.abc import Iterable

import numpy as np
import torch
import torch.distributed as dist

from ocr_model.charset import Charset
from ocr_model.data.loading import Batch
from ocr_model.decoding.options import DecodeOptions
from ocr_model.decoding.readings import to_predictions
from ocr_model.metrics import CalibrationCounts
from ocr_model.models.interface import RecognizerModel
from ocr_model.training.worker import Worker, to_device

_TEMPERATURES = [2.0 ** (step / 4) for step in range(-4, 9)]  # 0.5 to 4, and 1 exactly
_FEWEST_WORDS = 100  # by which one number can be told from chance
_MOST_WORDS = 2_000


@torch.no_grad()
def fit_temperature(
    model: RecognizerModel,
    batches: Iterable[Batch],
    charset: Charset,
    worker: Worker,
    *,
    max_chars: int,
) -> tuple[float, dict[str, float]]:
    """Choose the temperature under which right and wrong words are the likeliest.

    The encoder runs once, the decoder once per temperature, on at most 2,000 words of all ranks; of
    fewer than 100 the temperature is 1.

    Returns:
        It, and `ece` with it and `ece_uncalibrated` without: the same on all ranks.
    """
    model.eval()
    counts = {temperature: CalibrationCounts() for temperature in _TEMPERATURES}
    num_words = 0
    for batch in batches:
        if num_words * worker.world_size >= _MOST_WORDS:
            continue  # to the end, as the loader's next epoch expects
        if not batch.labels:
            continue
        num_words += len(batch.labels)
        inputs = to_device(batch, worker.device)
        features = model.encode(inputs.images, inputs.content_width)
        for temperature in counts:
            options = DecodeOptions(temperature=temperature)
            readings = model.decode(features, max_chars=max_chars, options=options)
            predictions = to_predictions(readings, charset)
            counts[temperature] += CalibrationCounts.of(
                [p.confidence for p in predictions],
                [p.text == label for p, label in zip(predictions, batch.labels, strict=True)],
            )
    values = np.stack([count.values for count in counts.values()])
    if worker.world_size > 1:
        reduced = torch.from_numpy(values).to(worker.device)
        dist.all_reduce(reduced)
        values = reduced.cpu().numpy()
    totals = dict(zip(counts, map(CalibrationCounts, values), strict=True))
    best = min(_TEMPERATURES, key=lambda t: totals[t].log_loss)
    if totals[1.0].num_words < _FEWEST_WORDS:
        best = 1.0
    return best, {"ece": totals[best].error, "ece_uncalibrated": totals[1.0].error}
