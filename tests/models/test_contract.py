from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ocr_model.bundle import BundleInfo, load_bundle, serialize_bundle
from ocr_model.charset import BLANK, EOS, PAD, SPECIAL_TOKENS, Charset, Normalization
from ocr_model.config import Config
from ocr_model.decoding.readings import Prediction, to_predictions
from ocr_model.errors import ConfigError
from ocr_model.image import ImageGeometry
from ocr_model.models import build_model
from ocr_model.models.crnn import CRNN, CRNNConfig
from ocr_model.models.interface import Features, RecognizerModel, Targets
from ocr_model.models.resnet_transformer import ResNetTransformer, ResNetTransformerConfig

CHARSET = Charset("0123456789abcdef")
BATCH = 8
STANDARD = ImageGeometry()
SMALL = ResNetTransformerConfig(
    backbone="resnet10",
    backbone_width=0.25,
    hidden=32,
    num_layers=2,
    num_heads=4,
    num_kv_heads=4,
    feed_forward=64,
    max_chars=12,
)


@dataclass(frozen=True)
class Case:
    config: ResNetTransformerConfig | CRNNConfig
    num_tokens: int
    geometry: ImageGeometry = STANDARD


CASES = {
    "two_heads": Case(SMALL, 64),
    "decoder_only": Case(SMALL.replace(ctc_weight=0), 64),
    "ctc_only": Case(SMALL.replace(decoder_weight=0, decode_with="ctc"), 64),
    "both_read_by_ctc": Case(SMALL.replace(decode_with="ctc"), 64),
    "grouped_query": Case(SMALL.replace(num_kv_heads=2), 64),
    "multi_query": Case(SMALL.replace(num_kv_heads=1), 64),
    "untouched_strides": Case(SMALL.replace(strides="untouched"), 4),
    "padded": Case(SMALL, 128, ImageGeometry(width=256, fit="pad")),
    "crnn_wide": Case(CRNNConfig(hidden=32), 16),
    "crnn_narrow": Case(CRNNConfig(hidden=32, strides="narrow"), 32),
    "crnn_untouched": Case(CRNNConfig(hidden=32, strides="untouched"), 8),
    "crnn_padded": Case(CRNNConfig(hidden=32), 32, ImageGeometry(width=256, fit="pad")),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> Case:
    found = request.param
    assert isinstance(found, Case)
    return found


def build(config: Config, geometry: ImageGeometry | None = None) -> RecognizerModel:
    torch.manual_seed(0)
    assert isinstance(config, ResNetTransformerConfig | CRNNConfig)
    model = build_model(config, CHARSET.num_classes, geometry or STANDARD)
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.out_features == CHARSET.num_classes:
            with torch.no_grad():
                module.bias[[EOS, BLANK]] -= 1  # an untrained model often ends at once
    return model


def draw_images(geometry: ImageGeometry, batch: int = BATCH) -> tuple[Tensor, Tensor]:
    shape = (batch, geometry.height, geometry.width, 3)
    images = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1))
    widths = torch.full((batch,), geometry.width)
    if geometry.fit == "pad":
        widths = torch.linspace(20, geometry.width, batch).long()
        for row, width in enumerate(widths):
            images[row, :, width:] = 127
    return images.to(torch.uint8), widths


def draw_targets(batch: int = BATCH, longest: int = 3) -> Targets:
    """Labels without repeats, so that three columns of CTC spell any of them."""
    generator = torch.Generator().manual_seed(2)
    num_chars = torch.randint(1, longest + 1, (batch,), generator=generator)
    num_chars[0] = longest
    class_ids = torch.full((batch, longest), PAD)
    for row, length in enumerate(num_chars):
        chosen = torch.randperm(len(CHARSET.characters), generator=generator)[:length]
        class_ids[row, :length] = chosen + len(SPECIAL_TOKENS)
    return Targets(class_ids, num_chars)


def settle_statistics(model: RecognizerModel, geometry: ImageGeometry) -> None:
    """Let the normalisation layers see the images, as a trained model's have."""
    with torch.no_grad():
        for _ in range(20):
            model.encode(*draw_images(geometry))
    model.eval()


def read(model: RecognizerModel, images: Tensor, widths: Tensor) -> list[Prediction]:
    with torch.no_grad():
        return to_predictions(model.decode(model.encode(images, widths), max_chars=8), CHARSET)


def test_shapes_are_as_the_interface_says(case: Case) -> None:
    model = build(case.config, case.geometry).eval()
    features = model.encode(*draw_images(case.geometry))
    height, width = features.map_size
    assert height * width == case.num_tokens
    assert features.tokens.shape[:2] == features.is_padding.shape == (BATCH, case.num_tokens)

    output = model.loss(features, draw_targets())
    assert output.losses.shape == (BATCH,)
    assert torch.isfinite(output.losses).all()

    readings = model.decode(features, max_chars=8)
    assert readings.class_ids.shape == readings.char_confidences.shape
    assert readings.class_ids.shape[1] <= 8
    assert readings.num_chars.shape == readings.confidences.shape == (BATCH,)
    assert ((readings.confidences >= 0) & (readings.confidences <= 1)).all()


def test_the_gradient_reaches_every_parameter(case: Case) -> None:
    model = build(case.config, case.geometry)
    model(*draw_images(case.geometry), draw_targets()).losses.sum().backward()
    untouched = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.count_nonzero()
    ]
    assert untouched == []


def test_evaluation_is_deterministic(case: Case) -> None:
    model = build(case.config, case.geometry)
    settle_statistics(model, case.geometry)
    images, widths = draw_images(case.geometry)
    assert read(model, images, widths) == read(model, images, widths)
    with torch.no_grad():
        losses = [model(images, widths, draw_targets()).losses for _ in range(2)]
    assert torch.equal(*losses)


def test_a_batch_of_one_reads_as_row_zero_of_a_batch_of_eight(case: Case) -> None:
    model = build(case.config, case.geometry)
    settle_statistics(model, case.geometry)
    images, widths = draw_images(case.geometry)
    many, one = read(model, images, widths)[0], read(model, images[:1], widths[:1])[0]
    assert many.text
    assert one.text == many.text
    assert one.confidence == pytest.approx(many.confidence, rel=1e-3)
    assert one.char_confidences == pytest.approx(many.char_confidences, rel=1e-3)


def test_a_bundle_round_trip_is_bit_equal(case: Case, tmp_path: Path) -> None:
    model = build(case.config, case.geometry)
    settle_statistics(model, case.geometry)
    info = BundleInfo(
        model=case.config,
        charset=CHARSET.characters,
        normalization=Normalization.ALPHANUMERIC,
        geometry=case.geometry,
        max_chars=8,
    )
    for name, content in serialize_bundle(model, info).items():
        (tmp_path / name).write_bytes(content)
    loaded = load_bundle(tmp_path)
    assert (loaded.info.model, loaded.info.geometry) == (case.config, case.geometry)
    state, again = model.state_dict(), loaded.model.state_dict()
    assert state.keys() == again.keys()
    assert all(torch.equal(state[name], again[name]) for name in state)
    images, widths = draw_images(case.geometry)
    with torch.no_grad():
        expected, found = model.encode(images, widths), loaded.model.encode(images, widths)
    assert torch.equal(expected.tokens, found.tokens)
    assert read(model, images, widths) == read(loaded.model, images, widths)


@pytest.mark.parametrize("config", [SMALL.replace(ctc_weight=0), CRNNConfig(hidden=32)])
def test_what_lies_in_padding_does_not_reach_the_reading(config: Config) -> None:
    geometry = ImageGeometry(width=256, fit="pad")
    model = build(config, geometry)
    settle_statistics(model, geometry)
    images, widths = draw_images(geometry)
    with torch.no_grad():
        features = model.encode(images, widths)
        disturbed = features.tokens.clone()
        disturbed[features.is_padding] = 100.0
        other = Features(disturbed, features.is_padding, features.map_size)
        losses = model.loss(features, draw_targets()).losses
        assert torch.equal(losses, model.loss(other, draw_targets()).losses)
        before, after = (model.decode(f, max_chars=8) for f in (features, other))
    assert features.is_padding.any()
    assert torch.equal(before.class_ids, after.class_ids)
    assert torch.equal(before.confidences, after.confidences)


@pytest.mark.parametrize(
    "config",
    [SMALL, SMALL.replace(decode_with="ctc"), SMALL.replace(backbone="resnet50"),
     CRNNConfig(hidden=32), CRNNConfig(hidden=32, strides="narrow")],
)  # fmt: skip
@pytest.mark.parametrize("width", [17, 90, 96])
def test_an_image_reads_the_same_however_much_it_is_padded(config: Config, width: int) -> None:
    geometry = ImageGeometry(width=256, fit="pad")
    model = build(config, geometry)
    settle_statistics(model, geometry)
    images, _ = draw_images(geometry, batch=2)
    images[:, :, width:] = 127
    widths = torch.tensor([width, width])
    with torch.no_grad():
        wide = model.encode(images, widths)
        narrow = model.encode(images[:, :, :96], widths)
        is_content = [~f.is_padding.unflatten(1, f.map_size)[0] for f in (wide, narrow)]
        tokens = [
            f.tokens.unflatten(1, f.map_size)[:, keep]
            for f, keep in zip((wide, narrow), is_content, strict=True)
        ]
        losses = [model.loss(features, draw_targets(2)).losses for features in (wide, narrow)]
    assert torch.allclose(*tokens, atol=1e-4)
    assert torch.allclose(*losses, rtol=1e-4)
    first, second = read(model, images, widths), read(model, images[:, :, :96], widths)
    assert [p.text for p in first] == [p.text for p in second]
    assert first[0].confidence == pytest.approx(second[0].confidence, rel=1e-3)


def test_padding_begins_behind_the_last_column_with_picture() -> None:
    geometry = ImageGeometry(width=256, fit="pad")
    images, _ = draw_images(geometry, batch=3)
    features = build(SMALL, geometry).encode(images, torch.tensor([1, 9, 256]))
    columns = features.is_padding.unflatten(1, features.map_size)
    assert (~columns).sum(2).tolist() == [[1, 1], [3, 3], [64, 64]]


def test_crnn_recurs_over_time_and_not_over_the_batch() -> None:
    geometry = ImageGeometry(width=256)
    model = build(CRNNConfig(hidden=32), geometry)
    settle_statistics(model, geometry)
    images, widths = draw_images(geometry)
    changed = images.clone()
    changed[0, :, -8:] = 255 - changed[0, :, -8:]  # out of sight of the first column's convolutions
    order = torch.tensor([3, 1, 7, 0, 2, 6, 5, 4])
    with torch.no_grad():
        tokens = model.encode(images, widths).tokens
        permuted = model.encode(images[order], widths).tokens
        after_change = model.encode(changed, widths).tokens
    assert torch.allclose(permuted, tokens[order], atol=1e-5)
    assert torch.allclose(after_change[1:], tokens[1:], atol=1e-6)
    assert (after_change[0, 0] - tokens[0, 0]).abs().max() > 1e-6


def test_the_recurrence_of_crnn_begins_at_the_end_of_the_picture() -> None:
    geometry = ImageGeometry(width=256, fit="pad")
    model = build(CRNNConfig(hidden=32), geometry)
    settle_statistics(model, geometry)
    images, _ = draw_images(geometry, batch=2)
    widths = torch.tensor([64, 256])
    with torch.no_grad():
        tokens = model.encode(images, widths).tokens
        model.get_submodule("project").register_forward_hook(_disturb_behind_column_8)
        disturbed = model.encode(images, widths).tokens
    assert torch.equal(tokens[0], disturbed[0])
    assert not tokens[0, 8:].any()
    assert not torch.equal(tokens[1, :8], disturbed[1, :8])  # where the picture goes on


def _disturb_behind_column_8(_: nn.Module, inputs: tuple[Tensor], columns: Tensor) -> Tensor:
    return torch.cat([columns[:, :8], columns[:, 8:] + 100], dim=1)


def test_crnn_learns_from_labels_that_are_too_long_for_their_picture() -> None:
    geometry = ImageGeometry(width=256, fit="pad")
    model = build(CRNNConfig(hidden=32), geometry)
    images, _ = draw_images(geometry, batch=2)
    repeated = Targets(torch.full((2, 3), len(SPECIAL_TOKENS)), torch.tensor([3, 3]))
    losses = model(images, torch.tensor([9, 256]), repeated).losses  # 2 columns, and 5 needed
    assert (losses > 0).all()


@pytest.mark.parametrize("width", [64, 96, 200])
def test_images_of_other_sizes_are_read_and_learned_from(width: int) -> None:
    model = build(SMALL)
    for height in (24, 48):
        geometry = ImageGeometry(height=height, width=width)
        images, widths = draw_images(geometry)
        assert torch.isfinite(model(images, widths, draw_targets()).losses).all()
        assert len(read(model, images, widths)) == BATCH


def test_crnn_refuses_what_ctc_does_not_know() -> None:
    model = build(CRNNConfig(hidden=32))
    features = model.encode(*draw_images(ImageGeometry(), batch=2))
    with pytest.raises(ConfigError, match="label smoothing"):
        model.loss(features, draw_targets(2), label_smoothing=0.1)


@pytest.mark.parametrize("name", ["wide", "narrow", "untouched"])
def test_crnn_says_how_many_columns_it_will_have(name: str) -> None:
    config = CRNNConfig.model_validate({"hidden": 32, "strides": name})
    for width in (128, 200, 203):
        geometry = ImageGeometry(height=50, width=width)
        features = build(config, geometry).encode(*draw_images(geometry, batch=1))
        assert features.map_size == (1, config.num_columns(width))


def test_the_models_are_of_the_class_their_name_says() -> None:
    assert isinstance(build(SMALL), ResNetTransformer)
    assert isinstance(build(CRNNConfig(hidden=32)), CRNN)
