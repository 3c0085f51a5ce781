from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ocr_model.bundle import Bundle, BundleInfo
from ocr_model.charset import BLANK, EOS, PAD, SOS, UNK, Charset, Normalization
from ocr_model.decoding.ctc import decode_ctc
from ocr_model.decoding.lexicon import Lexicon
from ocr_model.decoding.readings import Prediction, to_predictions
from ocr_model.errors import BundleError, ConfigError
from ocr_model.image import ImageGeometry, fit_image
from ocr_model.inference.ensembles import Ensemble, vote
from ocr_model.inference.options import ReadOptions
from ocr_model.inference.recognizer import Recognizer
from ocr_model.inference.runtimes import TorchRuntime
from ocr_model.models import ModelConfig, build_model
from ocr_model.models.crnn import CRNNConfig
from ocr_model.models.resnet_transformer import ResNetTransformer, ResNetTransformerConfig

TRANSFORMER = ResNetTransformerConfig(
    backbone="resnet10", backbone_width=0.25, hidden=32, num_layers=1, num_heads=4,
    num_kv_heads=4, feed_forward=64, max_chars=12,
)  # fmt: skip
CTC = TRANSFORMER.replace(decode_with="ctc")
ONCE = ReadOptions(second_look_below=0.0)
IMAGES = [
    np.random.default_rng(seed).integers(0, 256, (32, 40 + 10 * seed, 3), np.uint8)
    for seed in range(12)
]


def _recognizer(
    config: ModelConfig, seed: int, *, characters: str = "0123456789", temperature: float = 1.0
) -> Recognizer:
    torch.manual_seed(seed)
    charset, geometry = Charset(characters), ImageGeometry()
    model = build_model(config, charset.num_classes, geometry)
    pixels = torch.randint(0, 256, (8, 32, 128, 3)).to(torch.uint8)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear) and module.out_features == charset.num_classes:
                module.weight *= 6
                module.bias[[EOS, BLANK]] -= 6
        for _ in range(10):
            model.encode(pixels, torch.full((8,), 128))
    info = BundleInfo(
        model=config,
        charset=characters,
        normalization=Normalization.ALPHANUMERIC,
        geometry=geometry,
        max_chars=12,
        temperature=temperature,
    )
    return Recognizer(Bundle(info, model.eval(), charset), precision="fp32")


@pytest.mark.parametrize("config", [TRANSFORMER, CTC, CRNNConfig(hidden=32)])
def test_an_ensemble_of_one_model_twice_reads_as_that_model(config: ModelConfig) -> None:
    alone = _recognizer(config, 0, temperature=1.5)
    ensemble = Ensemble([alone, _recognizer(config, 0, temperature=1.5)])
    assert ensemble.averages
    expected, found = alone.read(IMAGES), ensemble.read(IMAGES)
    assert [p.text for p in found] == [p.text for p in expected]
    assert [p.confidence for p in found] == pytest.approx(
        [p.confidence for p in expected], rel=1e-3
    )


def test_a_decoders_character_has_the_mean_of_all_probabilities_at_their_temperatures() -> None:
    members = [_recognizer(TRANSFORMER, 0, temperature=2.0), _recognizer(TRANSFORMER, 1)]
    pixels = np.stack([fit_image(image, ImageGeometry())[0] for image in IMAGES])
    means = torch.zeros(len(IMAGES), members[0].charset.num_classes)
    for member in members:
        assert isinstance(member.runtime, TorchRuntime)
        features = member.runtime.encode(pixels, np.full(len(IMAGES), 128))
        model = member.runtime.model
        assert isinstance(model, ResNetTransformer)
        with torch.inference_mode():
            start = torch.full((len(IMAGES), 1), SOS)
            logits, _ = model.start_writing(features).step(start, 0)
            means += (logits / member.info.temperature).softmax(-1) / 2
    means[:, [PAD, UNK, SOS, BLANK]] = 0
    probabilities, chosen = (means / means.sum(1, keepdim=True)).max(1)
    readings = Ensemble(members).read(IMAGES, ONCE)
    assert len({p.text for p in readings}) > 1
    for reading, probability, class_id in zip(readings, probabilities, chosen, strict=True):
        assert reading.text[0] == members[0].charset.decode([int(class_id)])
        assert reading.char_confidences[0] == pytest.approx(float(probability), rel=1e-3)


def test_columns_of_ctc_are_averaged() -> None:
    members = [_recognizer(CTC, 0), _recognizer(CTC, 1, temperature=3.0)]
    pixels = np.stack([fit_image(image, ImageGeometry())[0] for image in IMAGES])
    columns = []
    for member in members:
        assert isinstance(member.runtime, TorchRuntime)
        with torch.inference_mode():
            features = member.runtime.encode(pixels, np.full(len(IMAGES), 128))
            log_probs = member.runtime.model.column_log_probs(features)
        columns.append((log_probs / member.info.temperature).softmax(-1))
    expected = to_predictions(
        decode_ctc(((columns[0] + columns[1]) / 2).log(), 12), members[0].charset
    )
    found = Ensemble(members).read(IMAGES, ONCE)
    assert [p.text for p in found] == [p.text for p in expected]
    assert [p.text for p in found] != [p.text for p in members[0].read(IMAGES)]


@pytest.mark.parametrize("config", [TRANSFORMER, CTC])
def test_reduced_precision_is_that_of_the_members(config: ModelConfig) -> None:
    full = _recognizer(config, 0)
    assert isinstance(full.runtime, TorchRuntime)
    bundle = Bundle(full.info, full.runtime.model, full.charset)
    reduced = [Recognizer(bundle, precision="bf16") for _ in range(2)]
    ensemble = Ensemble(reduced)
    assert ensemble.averages
    assert [p.text for p in ensemble.read(IMAGES)] == [p.text for p in reduced[0].read(IMAGES)]
    assert not Ensemble([full, reduced[0]]).averages


@pytest.mark.parametrize(
    "other",
    [
        _recognizer(CTC, 1),
        _recognizer(TRANSFORMER, 1, characters="0123456789a"),
        _recognizer(CRNNConfig(hidden=32), 1),
    ],
    ids=["another head", "another charset", "another family"],
)
def test_models_that_do_not_agree_vote(other: Recognizer) -> None:
    first = _recognizer(TRANSFORMER, 0)
    ensemble = Ensemble([first, other])
    assert not ensemble.averages
    expected = [vote(pair) for pair in zip(first.read(IMAGES), other.read(IMAGES), strict=True)]
    assert ensemble.read(IMAGES) == expected


def test_the_text_with_the_largest_sum_of_confidences_wins() -> None:
    a, b = Prediction("a", 0.6, (0.6,)), Prediction("b", 0.4, (0.4,))
    surer = Prediction("b", 0.5, (0.5,))
    won = vote([a, b, surer])
    assert (won.text, won.char_confidences) == ("b", (0.5,))
    assert won.confidence == pytest.approx(0.3)


def test_a_picture_that_is_none_has_an_error_in_every_ensemble() -> None:
    for others in (_recognizer(TRANSFORMER, 1), _recognizer(CTC, 1)):
        (found,) = Ensemble([_recognizer(TRANSFORMER, 0), others]).read([b"no picture"])
        assert found.error
        assert found.confidence == 0


def test_options_are_for_all_members() -> None:
    ensemble = Ensemble([_recognizer(TRANSFORMER, 0), _recognizer(TRANSFORMER, 1)])
    options = ReadOptions(lexicon=Lexicon(("12", "345")))
    assert {p.text for p in ensemble.read(IMAGES, options)} <= {"12", "345"}


def test_one_recogniser_is_no_ensemble(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two recognisers or more, got 1"):
        Ensemble([_recognizer(TRANSFORMER, 0)])
    with pytest.raises(BundleError):
        Ensemble.load([tmp_path, tmp_path])
