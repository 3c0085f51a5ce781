"""What a picture reads does not depend on the pictures beside it."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from ocr_model.bundle import Bundle, BundleInfo
from ocr_model.charset import BLANK, EOS, SPECIAL_TOKENS, Charset, Normalization
from ocr_model.decoding.lexicon import Lexicon
from ocr_model.decoding.options import GREEDY, DecodeOptions
from ocr_model.decoding.readings import Prediction, Readings
from ocr_model.errors import CharsetError, ConfigError
from ocr_model.image import ImageGeometry
from ocr_model.inference.options import UPRIGHT, ReadOptions
from ocr_model.inference.recognizer import Recognizer
from ocr_model.models import ModelConfig, build_model
from ocr_model.models.crnn import CRNNConfig
from ocr_model.models.interface import Features
from ocr_model.models.resnet_transformer import ResNetTransformer, ResNetTransformerConfig

CHARSET = Charset("0123456789abcdef")
PADDED = ImageGeometry(width=96, fit="pad")
TRANSFORMER = ResNetTransformerConfig(
    backbone="resnet10", backbone_width=0.25, hidden=32, num_layers=1, num_heads=4,
    num_kv_heads=4, feed_forward=64, max_chars=12,
)  # fmt: skip
CONFIGS: dict[str, ModelConfig] = {
    "transformer": TRANSFORMER,
    "ctc": TRANSFORMER.replace(decode_with="ctc"),
    "crnn": CRNNConfig(hidden=32),
}


def _info(config: ModelConfig, geometry: ImageGeometry) -> BundleInfo:
    return BundleInfo(
        model=config,
        charset=CHARSET.characters,
        normalization=Normalization.ALPHANUMERIC,
        geometry=geometry,
        max_chars=12,
    )


def _untrained(config: ModelConfig, geometry: ImageGeometry = PADDED) -> Recognizer:
    torch.manual_seed(0)
    model = build_model(config, CHARSET.num_classes, geometry)
    images = torch.randint(0, 256, (8, 32, geometry.width, 3)).to(torch.uint8)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear) and module.out_features == CHARSET.num_classes:
                module.weight *= 8  # readings as different as a trained model's
                module.bias[[EOS, BLANK]] -= 1
        for _ in range(10):  # statistics of normalisation
            model.encode(images, torch.full((8,), geometry.width))
    return Recognizer(Bundle(_info(config, geometry), model.eval(), CHARSET), precision="fp32")


@pytest.fixture(scope="module", params=CONFIGS.values(), ids=CONFIGS.keys())
def recognizer(request: pytest.FixtureRequest) -> Recognizer:
    return _untrained(request.param)


def _picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(8, 60)), int(rng.integers(8, 160))
    coarse = rng.integers(0, 256, (4, 12, 3), np.uint8)
    return np.kron(coarse, np.ones((-(-height // 4), -(-width // 12), 1), np.uint8))


PICTURES = [_picture(seed) for seed in range(24)]


def _same(found: list[Prediction], expected: list[Prediction]) -> None:
    assert [p.text for p in found] == [p.text for p in expected]
    assert [p.confidence for p in found] == pytest.approx(
        [p.confidence for p in expected], rel=1e-3, abs=1e-6
    )


@settings(deadline=None, max_examples=5, database=None, phases=[Phase.generate])
@given(order=st.permutations(range(len(PICTURES))), batch_size=st.integers(1, 24))
def test_any_order_and_batch_size_read_the_same(
    recognizer: Recognizer, order: list[int], batch_size: int
) -> None:
    alone = [recognizer.read([picture])[0] for picture in PICTURES]
    assert len({p.text for p in alone}) > 3
    together = recognizer.read([PICTURES[i] for i in order], batch_size=batch_size)
    _same(together, [alone[i] for i in order])


def test_a_thousand_pictures_that_are_none_give_a_thousand_rows_with_an_error(
    recognizer: Recognizer,
) -> None:
    rng = np.random.default_rng(0)
    images: list[bytes] = [rng.bytes(int(rng.integers(0, 200))) for _ in range(1000)]
    predictions = recognizer.read(images)
    assert len(predictions) == 1000
    assert all(p.error and not p.text and p.confidence == 0 for p in predictions)


def test_bad_pictures_do_not_move_the_others(recognizer: Recognizer) -> None:
    mixed = [b"", PICTURES[0], b"no picture", PICTURES[1], np.zeros((0, 3, 3), np.uint8)]
    predictions = recognizer.read(mixed)
    assert [bool(p.error) for p in predictions] == [True, False, True, False, True]
    _same([predictions[1], predictions[3]], recognizer.read(PICTURES[:2]))


def test_eight_threads_at_once_read_what_one_reads(recognizer: Recognizer) -> None:
    expected = recognizer.read(PICTURES)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: recognizer.read(PICTURES), range(8)):
            _same(found, expected)


def test_any_number_of_pictures_are_read_as_they_come() -> None:
    recognizer = _untrained(CONFIGS["ctc"])
    taken = 0

    def endless() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1
            yield PICTURES[taken % len(PICTURES)]

    readings = recognizer.read_all(endless())
    first = [next(readings) for _ in range(600)]
    assert taken < 3000
    _same(first[23:47], first[47:71])
    readings.close()


def test_memory_stays_flat_over_many_words() -> None:
    recognizer = _untrained(CONFIGS["ctc"])
    small = np.zeros((8, 8, 3), np.uint8)
    sum(1 for _ in recognizer.read_all(small for _ in range(2000)))
    before = psutil.Process().memory_info().rss
    assert sum(1 for _ in recognizer.read_all(small for _ in range(6_000))) == 6_000
    assert psutil.Process().memory_info().rss < 1.1 * before


def test_only_the_characters_asked_for_are_read(recognizer: Recognizer) -> None:
    texts = [p.text for p in recognizer.read(PICTURES, ReadOptions(characters="0123"))]
    assert set("".join(texts)) <= set("0123")
    assert any(texts)


def test_characters_that_the_model_does_not_know_are_named(recognizer: Recognizer) -> None:
    with pytest.raises(CharsetError, match="'é'"):
        recognizer.read(PICTURES, ReadOptions(characters="0é"))
    with pytest.raises(ConfigError, match="characters is empty"):
        ReadOptions(characters="")


class _ReadsTheBrightSide(ResNetTransformer):
    """Surely reads zeros where the upper half is the brighter one, else f, unsurely."""

    num_chars = 2

    def decode(
        self,
        features: Features,
        *,
        max_chars: int,
        options: DecodeOptions = GREEDY,
        with_attention: bool = False,
    ) -> Readings:
        """Look at the tokens, which `encode` made of brightness."""
        is_up = features.tokens[:, 0, 0] > features.tokens[:, 1, 0]
        first = len(SPECIAL_TOKENS)
        ids = torch.where(is_up, first, first + 15)[:, None].expand(-1, self.num_chars)
        sure = torch.where(is_up, 0.9, 0.6)
        chars = sure[:, None].expand(-1, self.num_chars)
        return Readings(ids, chars, torch.full_like(ids[:, 0], self.num_chars), sure)

    def encode(self, images: Tensor, content_width: Tensor) -> Features:
        """Give the brightness of the upper and of the lower half."""
        rows = images.float().mean((2, 3)).unflatten(1, (2, -1)).mean(2)
        return Features(rows[..., None], torch.zeros_like(rows, dtype=torch.bool), (2, 1))


def _reader_of_the_bright_side(num_chars: int) -> Recognizer:
    geometry = ImageGeometry()
    model = _ReadsTheBrightSide(TRANSFORMER, CHARSET.num_classes, geometry).eval()
    model.num_chars = num_chars
    return Recognizer(Bundle(_info(TRANSFORMER, geometry), model, CHARSET), precision="fp32")


@pytest.mark.parametrize(("turns", "rotation"), [(0, 0), (1, 90), (2, 180), (3, 270)])
def test_the_surest_of_the_plausible_orientations_wins(turns: int, rotation: int) -> None:
    recognizer = _reader_of_the_bright_side(num_chars=2)
    picture = np.zeros((32, 100, 3), np.uint8)
    picture[:16] = 255
    (upright,) = recognizer.read([np.rot90(picture, turns)], UPRIGHT)
    (found,) = recognizer.read([np.rot90(picture, turns)], ReadOptions(orientations="plausible"))
    assert (found.text, found.rotation) == ("00", rotation)
    assert upright.rotation == 0
    (usual,) = recognizer.read([np.rot90(picture, turns)])
    assert usual.rotation == (rotation if turns % 2 else 0)


def test_a_single_character_is_not_read_lying_down() -> None:
    recognizer = _reader_of_the_bright_side(num_chars=1)
    picture = np.zeros((100, 32, 3), np.uint8)
    picture[:, 16:] = 255
    (found,) = recognizer.read([picture])
    assert found.rotation == 0


def test_a_lexicon_is_normalised_as_labels_are_and_nothing_else_is_read(
    recognizer: Recognizer, caplog: pytest.LogCaptureFixture
) -> None:
    lexicon = Lexicon(("1-2", "ab", "é", "Zoo"))
    texts = [p.text for p in recognizer.read(PICTURES, ReadOptions(lexicon=lexicon))]
    assert set(texts) <= {"12", "ab", "e"}
    assert "1 words of the lexicon cannot be read" in caplog.text


def test_a_lexicon_reads_the_same_in_any_batch(recognizer: Recognizer) -> None:
    options = ReadOptions(lexicon=Lexicon(("12", "ab", "e", "0f3", "c5"), bonus=4.0))
    together = recognizer.read(PICTURES, options)
    _same([recognizer.read([picture], options)[0] for picture in PICTURES], together)


def test_what_is_read_surely_is_not_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    recognizer = _untrained(CONFIGS["transformer"])
    once = ReadOptions(orientations="upright", splits_long=False, second_look_below=0.0)
    plain = recognizer.read(PICTURES, once)
    median = float(np.median([p.confidence for p in plain]))
    monkeypatch.setattr(DecodeOptions, "sure_from", median)
    searched = list[int]()
    read_batches = recognizer._read_batches

    def counted(parts: list[Any], options: DecodeOptions, batch_size: int) -> list[Prediction]:
        if options.needs_search:
            searched.append(len(parts))
        return read_batches(parts, options, batch_size)

    monkeypatch.setattr(recognizer, "_read_batches", counted)
    found = recognizer.read(PICTURES, replace(once, num_beams=4))
    assert sum(searched) == sum(p.confidence < median for p in plain) > 0
    for first, second in zip(plain, found, strict=True):
        assert first.confidence < median or first.text == second.text


def test_beams_find_readings_that_are_no_less_likely() -> None:
    recognizer = _untrained(CONFIGS["transformer"])
    greedy = recognizer.read(PICTURES)
    beams = recognizer.read(PICTURES, ReadOptions(num_beams=8))
    gains = [b.confidence - g.confidence for b, g in zip(beams, greedy, strict=True)]
    assert np.mean(gains) >= 0
    assert [b.text for b, gain in zip(beams, gains, strict=True) if gain > 1e-3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_beams": 0}, "num_beams must be 1 or more"),
        ({"num_beams": True}, "num_beams must be 1 or more, a whole number, got True"),
        ({"length_penalty": -1.0, "num_beams": 2}, "length_penalty must be 0 or more"),
        ({"length_penalty": math.nan, "num_beams": 2}, "length_penalty must be 0 or more"),
        ({"length_penalty": 1.0}, "length_penalty has no effect on one beam"),
        ({"lexicon": Lexicon(("a",)), "num_beams": 1}, "a lexicon needs num_beams of 2 or more"),
    ],
)
def test_options_that_cannot_be_are_refused_when_they_are_made(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ReadOptions(**options)


def test_a_lexicon_of_which_no_word_can_be_read_is_refused(recognizer: Recognizer) -> None:
    options = ReadOptions(lexicon=Lexicon(("xyz",)))
    with pytest.raises(ConfigError, match="none of the lexicon's 1 words can be read"):
        recognizer.read(PICTURES[:1], options)


def test_a_lexicon_in_letters_that_labels_lack_is_refused_and_a_few_are_left_out(
    recognizer: Recognizer, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(
        ConfigError, match="words of the lexicon cannot be read, 2 of 3: the model's"
    ):
        recognizer.read([], ReadOptions(lexicon=Lexicon(("м2", "да", "12"), bonus=2.0)))
    options = ReadOptions(lexicon=Lexicon(("ab", "м2", "12")))
    assert {p.text for p in recognizer.read(PICTURES, options)} <= {"ab", "12"}
    assert "1 words of the lexicon have letters that labels lack" in caplog.text


def test_words_of_a_lexicon_may_come_in_a_list(recognizer: Recognizer) -> None:
    in_a_list, in_a_tuple = (
        ReadOptions(lexicon=Lexicon(words)) for words in (["12", "ab"], ("12", "ab"))
    )
    assert in_a_list == in_a_tuple
    assert hash(in_a_list) == hash(in_a_tuple)
    _same(recognizer.read(PICTURES, in_a_list), recognizer.read(PICTURES, in_a_tuple))


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_has_one_image_or_more(recognizer: Recognizer, batch_size: int) -> None:
    for read in (recognizer.read, recognizer.read_all):
        with pytest.raises(ConfigError, match=f"batch_size must be 1 or more.*{batch_size}"):
            read(PICTURES, batch_size=batch_size)
