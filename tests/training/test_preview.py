from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ocr_model.config import load_config
from ocr_model.data.index import index_dataset
from ocr_model.errors import ConfigError, DatasetError
from ocr_model.image import ImageGeometry, fit_image
from ocr_model.training import preview
from ocr_model.training.config import TrainConfig
from ocr_model.training.local_data import build_local_data
from ocr_model.training.preview import PreviewConfig, write_preview

Drawn = list[tuple[str, list[np.ndarray]]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """Labels and images of each row, in place of drawing them."""
    rows: Drawn = []

    def record(
        labels: list[str], images: list[list[np.ndarray]], *, errors: list[str], titles: list[str]
    ) -> bytes:
        told = [f"{label}\n{error}".strip() for label, error in zip(labels, errors, strict=True)]
        rows.extend(zip(told, images, strict=True))
        assert len(titles) == max(map(len, images))
        return b"sheet"

    monkeypatch.setattr(preview, "draw_versions", record)
    return rows


def _config(output: Path, *settings: str) -> PreviewConfig:
    return load_config(PreviewConfig, None, [f"preview.output={output}", *settings])


def test_a_sheet_of_rendered_words_needs_no_settings(tmp_path: Path, drawn: Drawn) -> None:
    path = write_preview(_config(tmp_path / "sheets" / "words.png"))
    assert path.read_bytes() == b"sheet"
    assert len(drawn) == 8
    for label, (original, *versions) in drawn:
        assert label.isalnum()
        assert original.shape != (32, 128, 3)
        assert [version.shape for version in versions] == [(32, 128, 3)] * 5
        assert (versions[0] != versions[1]).any()


def test_versions_are_what_the_epochs_of_training_see(
    trained_config: TrainConfig, tmp_path: Path, drawn: Drawn
) -> None:
    section = {"output": str(tmp_path / "a.png"), "num_words": 6, "num_versions": 2}
    write_preview(PreviewConfig.model_validate({**trained_config.model_dump(), "preview": section}))
    data = build_local_data(trained_config, index_dataset(trained_config.data, trained_config.text))
    for epoch in range(2):
        batches = list(data.train_batches(epoch, 0))
        seen = {
            label: image
            for batch in batches
            for label, image in zip(batch.labels, batch.images, strict=True)
        }
        common = [(images[1 + epoch], seen[label]) for label, images in drawn if label in seen]
        assert len(common) >= 4  # the rest of under one batch waits for another epoch
        for version, image in common:
            np.testing.assert_array_equal(version, image)


def test_a_curriculum_weakens_the_first_versions(tmp_path: Path, drawn: Drawn) -> None:
    curriculum = ["curriculum.name=easy_first", "curriculum.start_strength=0"]
    write_preview(_config(tmp_path / "a.png", *curriculum))
    for _, (original, first, *_, last) in drawn:
        undistorted, _ = fit_image(original, ImageGeometry())
        np.testing.assert_array_equal(first, undistorted)
        assert (last != undistorted).any()


def test_words_set_apart_for_validation_are_not_shown(
    write_words: Callable[..., Path], tmp_path: Path, drawn: Drawn
) -> None:
    path = write_words(tmp_path / "words.parquet", [f"w{n}" for n in range(60)])
    settings = ["data.source=parquet", f"data.path={path}", "data.validation_fraction=0.5"]
    config = _config(tmp_path / "a.png", *settings, "preview.num_words=100")
    write_preview(config)
    held_out = index_dataset(config.data, config.text).validation
    numbers = {
        50 * fragment.part + int(row)
        for fragment, rows in zip(held_out.fragments, held_out.rows, strict=True)
        for row in rows
    }
    shown = {int(label[1:]) for label, _ in drawn}
    assert not shown & numbers
    assert shown | numbers == set(range(60))


def test_an_unreadable_image_is_named_in_its_row(
    write_words: Callable[..., Path], tmp_path: Path, drawn: Drawn
) -> None:
    path = write_words(tmp_path / "words.parquet", ["good", "bad"], {1: b"no picture"})
    write_preview(_config(tmp_path / "a.png", "data.source=parquet", f"data.path={path}"))
    rows = dict(drawn)
    assert len(rows["good"]) == 6
    assert rows["bad\nnot_an_image: 10 bytes of an unknown format"] == []


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path, drawn: Drawn) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write preview\.output .*a\.png"):
        write_preview(_config(tmp_path / "file" / "a.png"))


def test_a_dataset_without_a_usable_word_is_an_error(
    write_words: Callable[..., Path], tmp_path: Path
) -> None:
    path = write_words(tmp_path / "words.parquet", ["!!!", "much-longer-than-allowed"])
    settings = ["data.source=parquet", f"data.path={path}", "text.max_chars=5"]
    with pytest.raises(DatasetError, match=r"no usable sample.*empty_label.*label_too_long"):
        write_preview(_config(tmp_path / "a.png", *settings, "data.validation_fraction=0"))
