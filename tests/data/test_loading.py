from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocr_model.charset import PAD, Charset
from ocr_model.data.augment import AugmentConfig
from ocr_model.data.batching import BatchingConfig, StepSamples, make_buckets
from ocr_model.data.curriculum import EasyFirst, ShortFirst
from ocr_model.data.index import index_dataset
from ocr_model.data.labels import TextConfig
from ocr_model.data.loading import Batch, LocalData, SampleLoader, TrainPlan
from ocr_model.data.order import SampleRef, sequential
from ocr_model.data.scales import DrawnSizes, RisingSizes
from ocr_model.data.sources import ParquetSource
from ocr_model.image import ImageGeometry, decode_image, fit_image

NUM_WORDS, BATCH_SIZE = 80, 8
UNREADABLE = {3: b"no picture", 40: b""}
GEOMETRY = ImageGeometry(height=16, width=48)
DataOf = Callable[..., LocalData]


@pytest.fixture(scope="module")
def data_of(write_words: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> DataOf:
    """Return a function that gives one rank its data: 80 words, of which two are unreadable."""
    folder = tmp_path_factory.mktemp("words")
    words = [f"{'Word' if number < 50 else 'W'}-{number}" for number in range(NUM_WORDS)]
    path = write_words(folder / "train.parquet", words, UNREADABLE)
    held_out = write_words(folder / "held_out.parquet", words[:21], {20: b"no picture"})
    source = ParquetSource(source="parquet", path=str(path), validation_path=str(held_out))
    index = index_dataset(source, TextConfig(max_chars=9))

    def build(
        rank: int = 0,
        world_size: int = 1,
        seed: int = 0,
        rows_per_task: int = 24,
        geometry: ImageGeometry = GEOMETRY,
        batching: BatchingConfig | None = None,
        **schedules: Any,  # noqa: ANN401  # of any field of the plan
    ) -> LocalData:
        arguments = (source, TextConfig(max_chars=9), geometry, index.charset)
        loader = SampleLoader(*arguments, AugmentConfig(), seed)
        buckets = make_buckets(
            index.train, geometry, BATCH_SIZE, 4, batching or BatchingConfig(), None
        )
        plan = TrainPlan(buckets, loader, 4, 32, rows_per_task, **schedules)
        return LocalData(plan, index.validation, SampleLoader(*arguments, None), rank, world_size)

    return build


SCHEDULES: dict[str, dict[str, Any]] = {
    "plain": {},
    "widths": {
        "geometry": ImageGeometry(height=16, width=48, fit="pad"),
        "batching": BatchingConfig(widths=(32, 48), pixels_per_char=6),  # W50 and Word10
    },
    "curriculum": {
        "curriculum": ShortFirst(name="short_first", start_chars=5, share=1),
        "num_epochs": 4,
    },
    "sizes": {"scales": DrawnSizes(name="drawn", sizes=((16, 48), (12, 32), (20, 64)))},
}


def _content(batches: list[Batch]) -> list[tuple[list[str], bytes, list[list[int]]]]:
    return [(b.keys, b.images.tobytes(), b.class_ids.tolist()) for b in batches]


def _rows(batches: list[Batch]) -> list[int]:
    keys = [key for batch in batches for key in [*batch.keys, *batch.errors]]
    assert all(key.partition("#")[0].endswith(".parquet") for key in keys)
    parts = [key.rpartition("#")[2].split(":") for key in keys]
    return [50 * int(part) + int(row) for part, row in parts]


def test_a_batch_has_pixels_and_class_ids_of_its_labels(data_of: DataOf) -> None:
    data = data_of()
    charset = data.train_plan.loader.charset
    batch = next(data.train_batches(0, 0))
    size = len(batch.keys)
    assert batch.images.shape == (size, 16, 48, 3)
    assert batch.class_ids.shape == (size, batch.num_chars.max())
    for label, class_ids, num_chars in zip(
        batch.labels, batch.class_ids.tolist(), batch.num_chars.tolist(), strict=True
    ):
        assert charset.decode(class_ids[:num_chars]) == label
        assert set(class_ids[num_chars:]) <= {PAD}
        assert label.startswith("W")
        assert "-" not in label


def test_unreadable_images_are_listed_and_not_in_a_batch(data_of: DataOf) -> None:
    batches = list(data_of().train_batches(0, 0))
    errors = {key: why for batch in batches for key, why in batch.errors.items()}
    reasons = {key.rpartition("#")[2]: why for key, why in errors.items()}
    assert reasons == {
        "0:3": "not_an_image: 10 bytes of an unknown format",
        "0:40": "empty: zero bytes",
    }
    labels = [label for batch in batches for label in batch.unreadable_labels]
    assert sorted(labels) == ["Word3", "Word40"]
    assert sum(len(batch.keys) for batch in batches) == NUM_WORDS - 2
    for batch in batches:
        rows = (batch.images, batch.content_width, batch.class_ids, batch.num_chars, batch.labels)
        assert {len(row) for row in rows} == {len(batch.keys)}
        assert not errors.keys() & set(batch.keys)


def test_a_batch_of_nothing_but_unreadable_images_is_empty(data_of: DataOf) -> None:
    data = data_of()
    references = sequential(data.train_plan.buckets[0].index, 3, 4)
    batch = Batch.from_columns(data.train_plan.loader.load(references, epoch=0))
    assert batch.images.shape == (0, 16, 48, 3)
    assert batch.class_ids.shape == (0, 0)
    assert batch.keys == []
    assert len(batch.errors) == 1


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
@pytest.mark.parametrize("start", [1, 4, 6])
def test_resuming_within_an_epoch_gives_the_rest_of_it(
    data_of: DataOf, start: int, schedule: dict[str, Any]
) -> None:
    data = data_of(**schedule)
    whole = _content(list(data.train_batches(1, 0)))
    assert len(whole) == data.num_steps(1) >= 7
    assert _content(list(data.train_batches(1, start))) == whole[start:]


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_the_size_of_tasks_does_not_change_the_batches(
    data_of: DataOf, schedule: dict[str, Any]
) -> None:
    expected = _content(list(data_of(**schedule).train_batches(0, 0)))
    for rows_per_task in (1, 8, 40, 1000):
        data = data_of(rows_per_task=rows_per_task, **schedule)
        assert _content(list(data.train_batches(0, 0))) == expected


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_together_train_on_the_batches_of_one(
    data_of: DataOf, world_size: int, schedule: dict[str, Any]
) -> None:
    whole = list(data_of(**schedule).train_batches(0, 0))
    ranks = [
        list(data_of(rank, world_size, **schedule).train_batches(0, 0))
        for rank in range(world_size)
    ]
    for step, batch in enumerate(whole):
        parts = [rank[step] for rank in ranks]
        assert {part.num_planned for part in parts} == {batch.num_planned // world_size}
        assert [key for part in parts for key in part.keys] == batch.keys
        images = np.concatenate([part.images for part in parts])
        np.testing.assert_array_equal(images, batch.images)


@pytest.mark.parametrize("world_size", [1, 2, 4, 8])
def test_ranks_together_validate_on_each_sample_once(data_of: DataOf, world_size: int) -> None:
    ranks = [list(data_of(rank, world_size).validation_batches()) for rank in range(world_size)]
    assert sorted(row for batches in ranks for row in _rows(batches)) == list(range(21))
    errors = [why for batches in ranks for batch in batches for why in batch.errors.values()]
    assert errors == ["not_an_image: 10 bytes of an unknown format"]


def test_validation_images_are_not_distorted(data_of: DataOf) -> None:
    loader = data_of().validation_loader
    references = sequential(data_of().validation_index, 0, 1)
    columns = loader.load(references, epoch=0)
    image = loader.source.read(references[0].fragment, references[0].rows, epoch=0)[0].image
    assert image is not None
    expected, content_width = fit_image(decode_image(image), GEOMETRY)
    np.testing.assert_array_equal(columns["images"][0], expected)
    assert columns["content_width"][0] == content_width


def test_distortion_depends_on_seed_epoch_and_row_only(data_of: DataOf) -> None:
    loader = data_of().train_plan.loader
    fragment = data_of().train_plan.buckets[0].index.fragments[0]
    alone = [SampleRef(fragment, np.array([7]), np.array([0]))]
    among = [SampleRef(fragment, np.array([5, 7, 9]), np.array([1, 2, 0]))]
    image = loader.load(alone, epoch=1)["images"][0]
    np.testing.assert_array_equal(loader.load(among, epoch=1)["images"][2], image)
    assert (loader.load(alone, epoch=2)["images"][0] != image).any()
    assert (data_of(seed=1).train_plan.loader.load(alone, epoch=1)["images"][0] != image).any()


def test_characters_that_training_does_not_know_are_marked(data_of: DataOf) -> None:
    loader = data_of().validation_loader
    narrow = SampleLoader(loader.source, TextConfig(max_chars=4), GEOMETRY, Charset("Wod"), None)
    columns = narrow.load(sequential(data_of().validation_index, 0, 1), epoch=0)
    assert columns["label"][0] == "Word0"
    assert columns["class_ids"][0].tolist() == [5, 6, 1, 7]
    assert columns["num_chars"][0] == 4


def test_a_batch_has_one_width_and_the_more_samples_the_narrower_it_is(data_of: DataOf) -> None:
    batches = list(data_of(**SCHEDULES["widths"]).train_batches(0, 0))
    sizes = {batch.images.shape[2]: batch.num_planned for batch in batches}
    assert sizes == {32: 8 * 48 // 32, 48: 8}
    for batch in batches:
        assert {len(label) <= 5 for label in batch.labels} == {batch.images.shape[2] == 32}
        assert batch.content_width.max() <= batch.images.shape[2]


def test_short_labels_come_first_and_come_again_otherwise_distorted(data_of: DataOf) -> None:
    data = data_of(**SCHEDULES["curriculum"])
    first = list(data.train_batches(0, 0))
    assert {len(label) for batch in first for label in batch.labels} == {3, 5}
    images: dict[str, set[bytes]] = {}
    for batch in first:
        for key, image in zip(batch.keys, batch.images, strict=True):
            images.setdefault(key, set()).add(image.tobytes())
    assert {len(seen) for seen in images.values()} - {1}
    last = list(data.train_batches(3, 0))
    assert {len(label) for batch in last for label in batch.labels} == {3, 5, 6}
    assert len(first) == len(last) == 10


def test_weak_distortions_come_first(data_of: DataOf) -> None:
    easy = EasyFirst(name="easy_first", start_strength=0, share=1)
    data = data_of(curriculum=easy, num_epochs=10)
    batch = next(data.train_batches(0, 0))
    undistorted = data.validation_loader
    references, _ = data.train_plan.epoch(0).select(range(4), 0)
    np.testing.assert_array_equal(batch.images, undistorted.load(references, 0)["images"])

    references, _ = data.train_plan.epoch(0).select(range(4), 1)
    step = StepSamples(references, GEOMETRY)
    loader = data.train_plan.loader
    full = loader.load_steps([step], 0)[0]["images"]
    weak = loader.load_steps([step], 0, strength=0.2)[0]["images"]
    none = undistorted.load(references, 0)["images"].astype(int)
    assert 0 < np.abs(weak - none).mean() < np.abs(full - none).mean()


def test_sizes_are_drawn_by_step_or_rise_by_epoch(data_of: DataOf) -> None:
    drawn = [batch.images.shape[1:3] for batch in data_of(**SCHEDULES["sizes"]).train_batches(0, 0)]
    assert set(drawn) == {(16, 48), (12, 32), (20, 64)}
    rising = RisingSizes(name="rising", sizes=((8, 24), (12, 32)))
    data = data_of(scales=rising, num_epochs=6)
    shapes = [next(data.train_batches(epoch, 0)).images.shape[1:3] for epoch in range(6)]
    assert shapes == [(8, 24)] * 2 + [(12, 32)] * 2 + [(16, 48)] * 2
