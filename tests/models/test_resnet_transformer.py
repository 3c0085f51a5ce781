import pytest
import torch

from ocr_model.charset import EOS, PAD, SOS
from ocr_model.config import load_config
from ocr_model.errors import ConfigError
from ocr_model.image import ImageGeometry
from ocr_model.models.interface import Features, Targets
from ocr_model.models.resnet_transformer import ResNetTransformer, ResNetTransformerConfig

TARGETS = Targets(torch.tensor([[5, 6, 7, 8], [9, 10, PAD, PAD]]), torch.tensor([4, 2]))


@pytest.fixture
def model(tiny_model: ResNetTransformerConfig) -> ResNetTransformer:
    torch.manual_seed(0)
    model = ResNetTransformer(tiny_model.replace(ctc_weight=0), 15, ImageGeometry())
    assert model.decoder is not None
    with torch.no_grad():
        model.decoder.classifier.bias[EOS] -= 1  # an untrained one often ends at once
    return model.eval()


@pytest.fixture
def features(model: ResNetTransformer) -> Features:
    images = torch.randint(0, 256, (2, 32, 128, 3), dtype=torch.uint8)
    with torch.no_grad():
        return model.encode(images, torch.full((2,), 128))


def test_sampling_nothing_equals_teacher_forcing(
    model: ResNetTransformer, features: Features
) -> None:
    none = torch.zeros(2, 5, dtype=torch.bool)
    sampled = model.loss(features, TARGETS, sampling_mask=none).losses
    assert torch.equal(sampled, model.loss(features, TARGETS).losses)


def test_sampling_everything_feeds_the_models_own_predictions(
    model: ResNetTransformer, features: Features
) -> None:
    assert model.decoder is not None
    everything = torch.ones(2, 5, dtype=torch.bool)
    sampled = model.loss(features, TARGETS, sampling_mask=everything).losses
    assert not torch.allclose(sampled, model.loss(features, TARGETS).losses)

    memory = features.tokens + model.memory_positions
    truth = torch.tensor([[SOS, 5, 6, 7, 8], [SOS, 9, 10, PAD, PAD]])
    expected = torch.tensor([[5, 6, 7, 8, EOS], [9, 10, EOS, PAD, PAD]])
    first = model.decoder(truth, memory, features.is_padding)
    fed = truth.clone()
    for row, length in enumerate([4, 2]):
        for step in range(1, length + 1):
            fed[row, step] = first[row, step - 1].argmax()
    second = model.decoder(fed, memory, features.is_padding)
    log_probs = second.log_softmax(-1).gather(2, expected[..., None])[..., 0]
    by_hand = torch.stack([-log_probs[0].mean(), -log_probs[1, :3].mean()])
    assert torch.allclose(sampled, by_hand, atol=1e-5)


def test_padding_behind_a_label_does_not_change_its_loss(
    model: ResNetTransformer, features: Features
) -> None:
    alone = Features(features.tokens[1:], features.is_padding[1:], features.map_size)
    short = Targets(TARGETS.class_ids[1:, :2], TARGETS.num_chars[1:])
    together = model.loss(features, TARGETS, label_smoothing=0.1).losses[1]
    assert torch.allclose(
        model.loss(alone, short, label_smoothing=0.1).losses[0], together, atol=1e-5
    )


def test_attention_has_one_map_per_character(model: ResNetTransformer, features: Features) -> None:
    with torch.no_grad():
        readings = model.decode(features, max_chars=6, with_attention=True)
    assert readings.attention is not None
    assert readings.attention.shape == (2, 1, 2, readings.class_ids.shape[1], 64)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["decoder_weight=0"], "decode_with"),
        (["ctc_weight=0", "decode_with=ctc"], "decode_with"),
        (["num_heads=7"], "num_heads"),
        (["num_kv_heads=3"], "num_kv_heads"),
        (["hidden=30", "num_heads=2", "num_kv_heads=2"], "hidden"),
    ],
)
def test_settings_that_no_model_can_have_fail_before_anything_starts(
    overrides: list[str], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        load_config(ResNetTransformerConfig, None, overrides)
