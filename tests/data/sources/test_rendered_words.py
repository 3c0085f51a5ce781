import shutil
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from ocr_model.data.fragments import Fragment, Sample
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.errors import ConfigError, DatasetError

SamplesOf = Callable[..., list[Sample]]
LabelsOf = Callable[..., list[str | None]]


def test_rendered_words_depend_on_seed_and_epoch_only(
    samples_of: SamplesOf, labels_of: LabelsOf
) -> None:
    source = SyntheticSource(num_words=8)
    first, again = samples_of(source), samples_of(SyntheticSource(num_words=8))
    for one, other in zip(first, again, strict=True):
        assert one.label == other.label
        assert isinstance(one.image, np.ndarray)
        assert isinstance(other.image, np.ndarray)
        np.testing.assert_array_equal(one.image, other.image)
    words = [sample.label for sample in first]
    assert [sample.label for sample in samples_of(source, epoch=1)] != words
    assert [sample.label for sample in samples_of(SyntheticSource(num_words=8, seed=1))] != words
    assert labels_of(source) == words


def test_rendered_validation_words_are_the_same_in_every_epoch(samples_of: SamplesOf) -> None:
    source = SyntheticSource(num_validation_words=8)
    first = [sample.label for sample in samples_of(source, "validation")]
    assert [sample.label for sample in samples_of(source, "validation", epoch=5)] == first


def test_rendered_validation_words_are_never_trained_on_in_whatever_case(
    labels_of: LabelsOf,
) -> None:
    source = SyntheticSource(num_words=3000, num_validation_words=1500)
    trained = {str(label).casefold() for label in labels_of(source)}
    held_out = {str(label).casefold() for label in labels_of(source, "validation")}
    assert len(trained) > 1000
    assert len(held_out) > 300
    assert all(len(text) < 3 and not text.isalpha() for text in trained & held_out)


def test_rendered_words_have_all_cases_and_numbers(labels_of: LabelsOf) -> None:
    labels = [str(label) for label in labels_of(SyntheticSource(num_words=300))]
    assert any(label.islower() for label in labels)
    assert any(label.isupper() for label in labels)
    assert any(label.istitle() for label in labels)
    assert any(label.isdigit() for label in labels)
    assert all(label.isascii() and label.isalnum() for label in labels)


def test_a_machine_with_other_fonts_refuses_to_render() -> None:
    source = SyntheticSource(num_words=8)
    (planned,) = source.fragments("train")
    elsewhere = Fragment("synthetic:00000000@train", 0, planned.num_rows)
    with pytest.raises(DatasetError, match="planned with 00000000"):
        source.read(elsewhere, np.array([0]), epoch=0)


def test_a_word_that_no_single_font_can_draw_is_a_sample_with_an_error(
    tmp_path: Path, samples_of: SamplesOf
) -> None:
    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
    for name in ("DejaVuSans.ttf", "DejaVuSansMono.ttf"):
        shutil.copy(fonts / name, tmp_path)
    lexicon = tmp_path / "words.txt"  # one has the first sign, the other the second
    lexicon.write_text("\n".join(f"Ǆ⌒{n}" for n in range(50)), encoding="utf-8")
    source = SyntheticSource.model_validate(
        {
            "num_words": 50,
            "lexicon": {"path": str(lexicon), "shares": {"number": 0, "code": 0}},
            "renderer": {"fonts": {"packages": False, "system": False, "folders": [str(tmp_path)]}},
        }
    )
    samples = samples_of(source)
    assert len(samples) == 50
    assert all(sample.image is None for sample in samples)
    assert samples[0].error.startswith("undrawable: none of 2 fonts has all characters of 'Ǆ⌒")


def test_rendered_words_take_no_validation_fraction() -> None:
    with pytest.raises(ConfigError, match="validation words of its own"):
        SyntheticSource(validation_fraction=0.1).fragments("train")


def test_rendered_words_are_eased_and_read_the_same() -> None:
    source = SyntheticSource(num_words=200)
    fragment, rows = source.fragments("train")[0], np.arange(200)
    whole = source.read(fragment, rows, epoch=1)
    eased = source.eased(0.1).read(fragment, rows, epoch=1)
    assert [sample.label for sample in eased] == [sample.label for sample in whole]
    assert [_roughness(sample) for sample in eased] != [_roughness(sample) for sample in whole]
    assert np.median([*map(_roughness, eased)]) < 0.8 * np.median([*map(_roughness, whole)])
    assert source.fragments("train") == source.eased(0.1).fragments("train")


def _roughness(sample: Sample) -> float:
    """Say how much neighbouring pixels differ along the upper rim, where there is no ink."""
    assert isinstance(sample.image, np.ndarray)
    return float(np.abs(np.diff(sample.image[:2].astype(int), axis=1)).mean())
