import numpy as np
import pytest
import torch
from torch import Tensor

from ocr_model.charset import BLANK, SPECIAL_TOKENS, Charset
from ocr_model.data.loading import Batch
from ocr_model.decoding.ctc import decode_ctc
from ocr_model.decoding.options import GREEDY, DecodeOptions
from ocr_model.decoding.readings import Readings
from ocr_model.image import ImageGeometry
from ocr_model.models.interface import Features
from ocr_model.models.resnet_transformer import ResNetTransformer, ResNetTransformerConfig
from ocr_model.training.calibration import fit_temperature
from ocr_model.training.worker import Worker

CHARSET = Charset("abcd")
FIRST = len(SPECIAL_TOKENS)
CONFIG = ResNetTransformerConfig(
    backbone="resnet10", backbone_width=0.25, hidden=16, num_layers=1, num_heads=2,
    num_kv_heads=2, feed_forward=16,
)  # fmt: skip


class Gambler(ResNetTransformer):
    """Knows the probability of each of its characters, and is surer of it by a factor."""

    def __init__(self, factor: float, num_words: int) -> None:
        super().__init__(CONFIG, CHARSET.num_classes, ImageGeometry())
        rng = np.random.default_rng(0)
        logits = np.full((num_words, 7, CHARSET.num_classes), -30.0)
        logits[:, 1::2, BLANK] = 0
        self.labels = []
        for word in logits:
            label = ""
            for frame in word[::2]:
                odds = rng.dirichlet(np.full(4, 0.1)).clip(1e-4)
                odds /= odds.sum()
                frame[FIRST:] = np.log(odds)
                label += CHARSET.characters[rng.choice(4, p=odds)]
            self.labels.append(label)
        self.logits = torch.from_numpy(logits).float() * factor

    def encode(self, images: Tensor, content_width: Tensor) -> Features:
        """Take the word's number out of its picture."""
        numbers = images[:, 0, 0, 0].long() + 256 * images[:, 0, 0, 1].long()
        tokens = self.logits[numbers]
        return Features(tokens, torch.zeros(tokens.shape[:2], dtype=torch.bool), (1, 7))

    def decode(
        self,
        features: Features,
        *,
        max_chars: int,
        options: DecodeOptions = GREEDY,
        with_attention: bool = False,
    ) -> Readings:
        """Read by CTC."""
        return decode_ctc(features.tokens.log_softmax(-1), max_chars, options)

    def batches(self) -> list[Batch]:
        """Return all words, 50 at a time."""
        batches = []
        for start in range(0, len(self.labels), 50):
            labels = self.labels[start : start + 50]
            numbers = np.arange(start, start + len(labels))
            images = np.zeros((len(labels), 32, 128, 3), np.uint8)
            images[:, 0, 0, 0], images[:, 0, 0, 1] = numbers % 256, numbers // 256
            batches.append(
                Batch(
                    images=images,
                    content_width=np.full(len(labels), 128),
                    class_ids=np.array([CHARSET.encode(label) for label in labels]),
                    num_chars=np.full(len(labels), 4),
                    labels=labels,
                    keys=[str(n) for n in numbers],
                    errors={},
                    unreadable_labels=[],
                )
            )
        return batches


def _fit(model: Gambler) -> tuple[float, dict[str, float]]:
    return fit_temperature(model, model.batches(), CHARSET, Worker(), max_chars=8)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0, 4.0])
def test_the_temperature_undoes_too_much_or_too_little_trust(factor: float) -> None:
    temperature, figures = _fit(Gambler(factor, 2000))
    assert temperature == pytest.approx(factor, rel=0.25)
    assert figures["ece"] < 0.04
    if factor > 1:
        assert figures["ece_uncalibrated"] > figures["ece"] + 0.05


def test_few_words_leave_confidences_as_they_are() -> None:
    temperature, figures = _fit(Gambler(3.0, 60))
    assert temperature == 1.0
    assert figures["ece"] == figures["ece_uncalibrated"]


def test_no_words_leave_confidences_as_they_are() -> None:
    assert _fit(Gambler(1.0, 0)) == (1.0, {"ece": 0.0, "ece_uncalibrated": 0.0})
