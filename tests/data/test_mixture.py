import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from ocr_model.config import load_config
from ocr_model.data.index import index_dataset, index_for_evaluation
from ocr_model.data.labels import TextConfig
from ocr_model.data.loading import LocalData
from ocr_model.data.sources import MixtureSource, ParquetSource
from ocr_model.inference.evaluation import EvaluateConfig
from ocr_model.training.config import TrainConfig
from ocr_model.training.console import evaluate_command

NUM_REAL, NUM_RENDERED = 40, 30
RENDERED = {
    "source": "synthetic",
    "num_words": NUM_RENDERED,
    "num_validation_words": 12,
    "lexicon": {"max_chars": 12},
}


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, write_words: Callable[..., Path]) -> Path:
    path = tmp_path_factory.mktemp("real") / "real.parquet"
    return write_words(path, [f"real{number}" for number in range(NUM_REAL)])


def _mixture(real: Path, **settings: object) -> MixtureSource:
    part = {"source": "parquet", "path": str(real), **settings}
    return MixtureSource.model_validate({"source": "mixture", "parts": [RENDERED, part]})


def test_an_epoch_has_the_rows_of_all_parts_as_often_as_they_ask(real: Path) -> None:
    index = index_dataset(_mixture(real, repeats=3), TextConfig())
    assert index.train.num_rows == NUM_RENDERED + 3 * NUM_REAL
    assert index.validation.num_rows == RENDERED["num_validation_words"]


def test_rows_set_apart_are_those_of_the_part_alone_and_are_validated_on_once(real: Path) -> None:
    mixture = _mixture(real, repeats=3, validation_fraction=0.25)
    alone = ParquetSource.model_validate(mixture.parts[1].model_dump())
    mixed, own = (index_dataset(source, TextConfig()) for source in (mixture, alone))
    assert mixed.validation.num_rows == own.validation.num_rows > 0
    assert mixed.train.num_rows == NUM_RENDERED + own.train.num_rows
    for found, expected in zip(mixed.validation.rows, own.validation.rows, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_evaluation_reads_the_rows_that_parts_set_apart(real: Path) -> None:
    mixture = _mixture(real, repeats=3, validation_fraction=0.25)
    planned = index_dataset(mixture, TextConfig()).validation
    found = index_for_evaluation(mixture, "validation")
    assert [f.uri for f in found.fragments] == [f.uri for f in planned.fragments]
    assert found.num_rows == planned.num_rows


def test_copies_are_the_same_words_distorted_differently(
    real: Path,
    tmp_path: Path,
    tiny_config: Callable[..., TrainConfig],
    local_data: Callable[..., LocalData],
) -> None:
    config = tiny_config(tmp_path, "augmentation.rotation_degrees=8")
    config = config.replace(data=_mixture(real, repeats=2).model_dump())
    batches = list(local_data(config, index_dataset(config.data, config.text)).train_batches(0, 0))
    pictures: dict[str, list[bytes]] = {}
    for batch in batches:
        for label, image in zip(batch.labels, batch.images, strict=True):
            pictures.setdefault(label, []).append(image.tobytes())
    twice = [seen for label, seen in pictures.items() if label.startswith("real") and len(seen) > 1]
    assert len(twice) > NUM_REAL // 2  # the last batch is not full
    assert all(len(set(seen)) == len(seen) for seen in twice)


def test_easing_reaches_every_part(real: Path) -> None:
    rendered = _mixture(real).eased(0.5).parts[0]
    assert rendered == _mixture(real).parts[0].eased(0.5) != _mixture(real).parts[0]


@pytest.mark.parametrize(
    ("settings", "part", "message"),
    [
        ({"validation_fraction": 0.1}, {}, "settings of parts"),
        ({"repeats": 2}, {}, "settings of parts"),
        ({}, {"limit": 3}, "limit is a setting of the whole mixture"),
        ({}, {"validation_limit": 3}, "limit is a setting of the whole mixture"),
    ],
)
def test_settings_in_the_wrong_place_are_refused(
    real: Path, settings: dict[str, object], part: dict[str, object], message: str
) -> None:
    given = {"source": "parquet", "path": str(real), **part}
    with pytest.raises(ValidationError, match=message):
        MixtureSource.model_validate({"source": "mixture", "parts": [RENDERED, given], **settings})


def test_rendered_words_are_not_repeated_but_drawn(real: Path) -> None:
    with pytest.raises(ValidationError, match="raise num_words"):
        MixtureSource.model_validate(
            {"source": "mixture", "parts": [{**RENDERED, "repeats": 2}, RENDERED]}
        )


def test_the_command_that_scores_a_mixture_can_be_pasted(real: Path) -> None:
    mixture = _mixture(real, repeats=3, validation_fraction=0.25)
    config = TrainConfig.model_validate({"data": mixture.model_dump(), "text": {"max_chars": 20}})
    words = shlex.split(evaluate_command(config, "compact"))
    told = load_config(EvaluateConfig, overrides=words[words.index("--set") + 1 :])
    assert told.data == mixture
    assert told.subset == "validation"


def test_validation_that_another_part_makes_vain_is_refused(real: Path) -> None:
    own = {"source": "parquet", "path": str(real), "validation_path": str(real)}
    with pytest.raises(ValidationError, match="has no effect"):
        MixtureSource.model_validate(
            {
                "source": "mixture",
                "parts": [own, {"source": "parquet", "path": "x", "validation_fraction": 0.1}],
            }
        )
