import inspect
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ocr_model
from ocr_model import Prediction, Recognizer
from ocr_model.data.index import DatasetIndex
from ocr_model.data.loading import SampleLoader
from ocr_model.data.order import sequential
from ocr_model.errors import BundleError, ConfigError
from ocr_model.image import decode_image, fit_image
from ocr_model.training.config import TrainConfig
from ocr_model.training.loop import TrainResult


@pytest.fixture(scope="module")
def recognizer(bundle_path: Path) -> Recognizer:
    return Recognizer.load(bundle_path, device="cpu", precision="fp32")


def encode(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def draw_pixels(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 90, 3), np.uint8)


def test_bytes_arrays_and_pictures_may_stand_in_one_list(recognizer: Recognizer) -> None:
    pixels = draw_pixels()
    content = encode(pixels)
    same = [content, bytearray(content), memoryview(content), pixels, Image.fromarray(pixels)]
    predictions = recognizer.read([*same, pixels[..., 0], encode(pixels, "JPEG")])
    assert len(predictions) == 7
    for prediction in predictions:
        assert isinstance(prediction, Prediction)
        assert len(prediction.char_confidences) == len(prediction.text)
        assert all(
            0 <= score <= 1 for score in (prediction.confidence, *prediction.char_confidences)
        )
    assert [p.text for p in predictions[:5]] == [predictions[0].text] * 5
    assert [p.confidence for p in predictions[:5]] == pytest.approx(
        [predictions[0].confidence] * 5, rel=1e-4
    )


def test_order_is_kept_whatever_the_batch_size(recognizer: Recognizer) -> None:
    images = [draw_pixels(seed) for seed in range(7)]
    all_at_once, by_two = recognizer.read(images), recognizer.read(images, batch_size=2)
    assert [p.text for p in by_two] == [p.text for p in all_at_once]
    expected = [p.confidence for p in all_at_once]
    assert [p.confidence for p in by_two] == pytest.approx(expected, rel=1e-3)
    assert len(set(expected)) > 1


def test_no_images_give_no_predictions(recognizer: Recognizer) -> None:
    assert recognizer.read([]) == []


def test_what_is_no_picture_says_so_in_its_row(recognizer: Recognizer) -> None:
    good, bad = recognizer.read([draw_pixels(), b"no picture"])
    assert not good.error
    assert (bad.text, bad.confidence, bad.char_confidences) == ("", 0.0, ())
    assert bad.error.startswith("not_an_image: ")


@pytest.mark.parametrize("kind", ["bytes", "array", "picture"])
def test_one_picture_in_place_of_a_list_is_an_error(recognizer: Recognizer, kind: str) -> None:
    pixels = draw_pixels()
    single = {"bytes": encode(pixels), "array": pixels, "picture": Image.fromarray(pixels)}[kind]
    unchecked = inspect.unwrap(Recognizer.read)  # without the tests' own check of types
    with pytest.raises(TypeError, match="read takes a list of images, got one"):
        unchecked(recognizer, single)


def test_a_folder_without_a_bundle_is_a_bundle_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"model\.json"):
        Recognizer.load(tmp_path)


@pytest.mark.parametrize("device", ["foo", "cuda:99", "meta", "cuda:x", ""])
def test_a_device_that_is_not_there_is_named_with_those_that_are(
    bundle_path: Path, device: str
) -> None:
    with pytest.raises(ConfigError, match=rf"device '{device}' cannot be used here; there is cpu"):
        Recognizer.load(bundle_path, device=device)


def test_the_same_bytes_give_the_same_model_input_as_in_training(
    recognizer: Recognizer, trained_config: TrainConfig, trained_index: DatasetIndex
) -> None:
    loader = SampleLoader(
        trained_config.data, trained_config.text, trained_config.image, trained_index.charset, None
    )
    references = sequential(trained_index.validation, 0, 10)
    columns = loader.load(references, epoch=0)
    for reference in references:
        samples = trained_config.data.read(reference.fragment, reference.rows, epoch=0)
        for sample, slot in zip(samples, reference.slots, strict=True):
            assert sample.image is not None
            pixels, width = fit_image(decode_image(sample.image), recognizer.info.geometry)
            assert np.array_equal(pixels, columns["images"][slot])
            assert width == columns["content_width"][slot]


def test_the_bundle_reads_the_validation_words_as_the_end_of_training_did(
    recognizer: Recognizer, trained_result: TrainResult
) -> None:
    samples = trained_result.samples
    predictions = recognizer.read([sample.image for sample in samples])
    assert [p.text for p in predictions] == [sample.prediction.text for sample in samples]
    expected = [sample.prediction.confidence for sample in samples]
    assert [p.confidence for p in predictions] == pytest.approx(expected, rel=1e-3)


def test_the_package_offers_its_public_names_only() -> None:
    assert all(getattr(ocr_model, name).__name__ == name for name in ocr_model.__all__)
    with pytest.raises(AttributeError, match="Reader"):
        ocr_model.Reader  # noqa: B018  # the look-up is what is tested
