"""Reading the validation part: exact counts over all ranks, nothing dropped."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import UInt8

from ocr_model.charset import Charset
from ocr_model.data.loading import Batch
from ocr_model.decoding.options import GREEDY, DecodeOptions
from ocr_model.decoding.readings import Prediction, to_predictions
from ocr_model.metrics import ReadingCounts, count_readings
from ocr_model.models.interface import RecognizerModel
from ocr_model.training.worker import Worker, to_device

_NUM_SAMPLES = 48
_NUM_RIGHT = 12


@dataclass(frozen=True)
class ReadSample:
    """A validation sample with its reading, for the report."""

    image: UInt8[np.ndarray, "height width 3"]
    content_width: int
    label: str
    prediction: Prediction


@torch.no_grad()
def validate(
    model: RecognizerModel,
    batches: Iterable[Batch],
    charset: Charset,
    worker: Worker,
    *,
    max_chars: int,
    options: DecodeOptions = GREEDY,
    keep_samples: bool = False,
) -> tuple[dict[str, float], list[ReadSample], dict[str, str]]:
    """Read every sample in full precision and add up over ranks.

    An image that cannot be decoded counts as a word that was not read.

    Returns:
        The metrics, the same on all ranks; this rank's samples where they are to be kept; and
        this rank's unreadable images by key, with reasons.
    """
    model.eval()
    counts, samples, errors = ReadingCounts(), list[ReadSample](), dict[str, str]()
    loss_sum, num_scored = 0.0, 0
    for batch in batches:
        if batch.labels:
            inputs = to_device(batch, worker.device)
            features = model.encode(inputs.images, inputs.content_width)
            loss_sum += float(model.loss(features, inputs.targets).losses.double().sum())
            num_scored += len(batch.labels)
            readings = model.decode(features, max_chars=max_chars, options=options)
            predictions = to_predictions(readings, charset)
            counts += count_readings(batch.labels, [p.text for p in predictions])
            if keep_samples:
                samples += map(
                    ReadSample,
                    batch.images,
                    batch.content_width.tolist(),
                    batch.labels,
                    predictions,
                )
        errors.update(batch.errors)
        unread = list(batch.unreadable_labels)
        counts += count_readings(unread, [""] * len(unread))
    totals = np.concatenate([counts.to_array(), [loss_sum, num_scored, len(errors)]])
    if worker.world_size > 1:
        reduced = torch.from_numpy(totals).to(worker.device)
        dist.all_reduce(reduced)
        totals = reduced.cpu().numpy()
    *fields, loss_sum, num_scored, num_unread = totals
    counts = ReadingCounts.from_array(np.array(fields))
    metrics = {"loss": float(loss_sum / max(num_scored, 1)), "num_words": counts.num_words}
    metrics["unreadable_images"] = float(num_unread)
    return metrics | counts.summary(), samples, errors


def choose_samples(samples: Sequence[ReadSample]) -> list[ReadSample]:
    """Pick what a person should see: the surest mistakes first, then the least sure successes."""
    wrong = [s for s in samples if s.label != s.prediction.text]
    right = [s for s in samples if s.label == s.prediction.text]
    wrong.sort(key=lambda s: -s.prediction.confidence)
    right.sort(key=lambda s: s.prediction.confidence)
    num_right = max(_NUM_RIGHT, _NUM_SAMPLES - len(wrong))
    return wrong[: _NUM_SAMPLES - min(num_right, len(right))] + right[:num_right]
