from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ocr_model.charset import Normalization
from ocr_model.data.fragments import SubsetIndex
from ocr_model.data.index import index_dataset, index_for_evaluation
from ocr_model.data.labels import TextConfig
from ocr_model.data.sources import ParquetSource
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.errors import ConfigError, DatasetError

Writer = Callable[..., ParquetSource]


@pytest.fixture
def source_of(tmp_path: Path) -> Writer:
    """Return a function that makes a dataset of labels, in row groups of ten."""

    def build(
        labels: Sequence[str | None],
        held_out: Sequence[str | None] | None = None,
        folder: Path = tmp_path,
        **settings: object,
    ) -> ParquetSource:
        settings |= {"source": "parquet", "path": str(folder / "words.parquet")}
        _write(folder / "words.parquet", labels)
        if held_out is not None:
            settings["validation_path"] = str(folder / "held_out.parquet")
            _write(folder / "held_out.parquet", held_out)
        return ParquetSource.model_validate(settings)

    return build


def _write(path: Path, labels: Sequence[str | None]) -> None:
    path.parent.mkdir(exist_ok=True)
    table = pa.table({"image": [b"-"] * len(labels), "label": pa.array(labels, pa.string())})
    pq.write_table(table, path, row_group_size=10)


def _rows(index: SubsetIndex) -> list[tuple[int, int]]:
    pairs = zip(index.fragments, index.rows, strict=True)
    return [(fragment.part, int(row)) for fragment, rows in pairs for row in rows]


def _words(num_words: int) -> list[str]:
    return [f"w{number:03}" for number in range(num_words)]


def test_labels_that_cannot_be_trained_on_are_dropped_and_counted(source_of: Writer) -> None:
    source = source_of(["one", None, "!?", "toolong", "two", ""], held_out=["one"])
    index = index_dataset(source, TextConfig(max_chars=5))
    assert _rows(index.train) == [(0, 0), (0, 4)]
    report = index.reports["train"]
    assert report.dropped == Counter(missing_label=1, empty_label=2, label_too_long=1)
    assert (report.num_seen, report.num_kept) == (6, 2)
    assert report.characters == Counter(o=2, n=1, e=1, t=1, w=1)
    assert report.lengths == Counter({3: 2})
    assert index.charset.characters == "enotw"
    assert report.to_json() == {
        "seen": 6,
        "kept": 2,
        "dropped": {"empty_label": 2, "label_too_long": 1, "missing_label": 1},
        "characters": {"e": 1, "n": 1, "o": 2, "t": 1, "w": 1},
        "lengths": {"3": 2},
    }


def test_a_validation_part_of_its_own_keeps_all_but_rows_without_a_label(
    source_of: Writer,
) -> None:
    source = source_of(["one"], held_out=["toolong", None, "??", "xyz"])
    index = index_dataset(source, TextConfig(max_chars=5), num_columns=3)
    assert _rows(index.validation) == [(0, 0), (0, 3)]
    assert index.reports["validation"].dropped == Counter(missing_label=1, empty_label=1)
    assert index.charset.characters == "eno"


def test_a_ctc_model_needs_a_column_per_character_and_repeat(source_of: Writer) -> None:
    source = source_of(["abcd", "abb", "aabb", "abcde"], held_out=["a"])
    index = index_dataset(source, TextConfig(), num_columns=4)
    assert _rows(index.train) == [(0, 0), (0, 1)]
    assert index.reports["train"].dropped == Counter(label_exceeds_columns=2)


def test_the_normalisation_decides_which_characters_there_are(source_of: Writer) -> None:
    source = source_of(["Café!"], held_out=["a"])
    kept = TextConfig(normalization=Normalization.UNICODE)
    assert index_dataset(source, TextConfig()).charset.characters == "Caef"
    assert index_dataset(source, kept).charset.characters == "!Café"


def test_a_fraction_splits_the_rows_without_overlap_or_rest(source_of: Writer) -> None:
    source = source_of(_words(400), validation_fraction=0.25)
    index = index_dataset(source, TextConfig())
    train, validation = _rows(index.train), _rows(index.validation)
    assert not set(train) & set(validation)
    assert sorted(train + validation) == [(part, row) for part in range(40) for row in range(10)]
    assert 70 < len(validation) < 130
    assert index.reports["train"].num_kept == len(train)
    assert index.reports["validation"].num_kept == len(validation)


def test_a_split_does_not_depend_on_the_folder(source_of: Writer, tmp_path: Path) -> None:
    labels = _words(100)
    here = source_of(labels, validation_fraction=0.3)
    there = source_of(labels, folder=tmp_path / "moved", validation_fraction=0.3)
    one, other = index_dataset(here, TextConfig()), index_dataset(there, TextConfig())
    assert here.path != there.path
    assert _rows(one.train) == _rows(other.train)
    assert _rows(one.validation) == _rows(other.validation)


def test_a_limit_keeps_so_many_rows_the_same_ones_each_time(source_of: Writer) -> None:
    source = source_of(_words(100), held_out=_words(50), limit=25, validation_limit=7)
    index = index_dataset(source, TextConfig())
    assert (index.train.num_rows, index.validation.num_rows) == (25, 7)
    assert len(set(_rows(index.train))) == 25
    assert _rows(index_dataset(source, TextConfig()).train) == _rows(index.train)
    other = index_dataset(source.replace(seed=1), TextConfig())
    assert _rows(other.train) != _rows(index.train)
    assert all((rows[1:] > rows[:-1]).all() for rows in index.train.rows)


def test_a_limited_report_counts_what_is_kept(source_of: Writer) -> None:
    source = source_of(_words(30), held_out=["a"], limit=12)
    report = index_dataset(source, TextConfig()).reports["train"]
    assert report.num_kept == 12
    assert sum(report.lengths.values()) == 12
    assert report.characters["w"] == 12


def test_a_limit_above_the_rows_keeps_all(source_of: Writer) -> None:
    source = source_of(_words(30), held_out=_words(5), limit=31, validation_limit=None)
    index = index_dataset(source, TextConfig())
    assert (index.train.num_rows, index.validation.num_rows) == (30, 5)


def test_a_limit_applies_behind_the_split(source_of: Writer) -> None:
    source = source_of(_words(200), validation_fraction=0.5, limit=20, validation_limit=10)
    index = index_dataset(source, TextConfig())
    assert (index.train.num_rows, index.validation.num_rows) == (20, 10)
    assert not set(_rows(index.train)) & set(_rows(index.validation))


def test_a_dataset_of_which_every_label_is_dropped_is_an_error(source_of: Writer) -> None:
    source = source_of(["?", "!"], held_out=["a"])
    with pytest.raises(DatasetError, match=r"the train part .*2 seen, dropped {'empty_label': 2}"):
        index_dataset(source, TextConfig())


def test_a_validation_part_of_which_every_label_is_dropped_is_an_error(source_of: Writer) -> None:
    with pytest.raises(DatasetError, match="the validation part has no usable sample: 1 seen"):
        index_dataset(source_of(["a"], held_out=["?"]), TextConfig())


def test_a_file_without_rows_is_empty(source_of: Writer) -> None:
    source = source_of([], validation_fraction=0.1)
    with pytest.raises(DatasetError, match=r"words\.parquet is empty: there is no row in it"):
        index_dataset(source, TextConfig())
    with pytest.raises(DatasetError, match=r"words\.parquet is empty"):
        index_for_evaluation(source, None)


def test_a_fraction_that_sets_nothing_apart_says_what_to_do(source_of: Writer) -> None:
    source = source_of(["a", "b"], validation_fraction=1e-6)
    message = r"the validation part is empty: data\.validation_fraction=1e-06 of so few rows"
    with pytest.raises(DatasetError, match=message):
        index_dataset(source, TextConfig())


def test_a_dataset_without_a_validation_part_is_an_error_that_names_the_remedy(
    source_of: Writer,
) -> None:
    with pytest.raises(DatasetError, match=r"no validation part.*data\.validation_fraction=0\.1"):
        index_dataset(source_of(["a"]), TextConfig())


def test_another_map_gives_the_same_index(source_of: Writer) -> None:
    source = source_of(_words(100), validation_fraction=0.3)
    num_scanned = []

    def backwards(scan: Callable[..., object], parts: list[object]) -> list[object]:
        num_scanned.append(len(parts))
        return [scan(part) for part in reversed(parts)][::-1]

    index = index_dataset(source, TextConfig(), parallel_map=backwards)  # type: ignore[arg-type]  # looser
    assert num_scanned == [10]
    assert _rows(index.train) == _rows(index_dataset(source, TextConfig()).train)


def test_evaluation_keeps_every_labelled_row_of_any_length(source_of: Writer) -> None:
    source = source_of(["a", None, "b" * 99, "é"], held_out=["c"])
    assert _rows(index_for_evaluation(source, "train")) == [(0, 0), (0, 2), (0, 3)]
    assert _rows(index_for_evaluation(source, "validation")) == [(0, 0)]
    assert index_for_evaluation(source, None).num_rows == 4
    assert index_for_evaluation(source, "validation").num_rows == 1


def test_evaluation_of_a_subset_reads_the_rows_that_training_set_apart(source_of: Writer) -> None:
    source = source_of(_words(100), validation_fraction=0.3)
    index = index_dataset(source, TextConfig())
    assert _rows(index_for_evaluation(source, "validation")) == _rows(index.validation)
    assert _rows(index_for_evaluation(source, "train")) == _rows(index.train)
    assert index_for_evaluation(source, None).num_rows == 100


def test_evaluation_is_limited_too(source_of: Writer) -> None:
    source = source_of(_words(100), validation_fraction=0.5, limit=9, validation_limit=8)
    assert index_for_evaluation(source, None).num_rows == 9
    assert index_for_evaluation(source, "train").num_rows == 9
    assert index_for_evaluation(source, "validation").num_rows == 8


def test_long_labels_leave_the_training_part_only(source_of: Writer) -> None:
    source = source_of([*_words(100), *["long" * 9] * 100], validation_fraction=0.5)
    index = index_dataset(source, TextConfig(max_chars=9), num_columns=9)
    everything = index_dataset(source, TextConfig(max_chars=99))
    assert _rows(index.validation) == _rows(everything.validation)
    assert index.reports["validation"].lengths[36] > 30
    assert index.reports["validation"].dropped == Counter()
    assert index.reports["train"].lengths == Counter({4: index.train.num_rows})
    assert index.reports["train"].dropped.keys() == {"label_too_long"}
    assert sum(report.num_seen for report in index.reports.values()) == 200


def test_rows_set_apart_are_dropped_to_their_own_account(source_of: Writer) -> None:
    source = source_of(["a", "?"] * 100, validation_fraction=0.25)
    for report in index_dataset(source, TextConfig()).reports.values():
        assert report.dropped["empty_label"] > 10
        assert report.num_seen == report.num_kept + report.dropped["empty_label"]


def test_a_training_limit_does_not_change_the_validation_part(source_of: Writer) -> None:
    source = source_of(_words(400), validation_fraction=0.25, validation_limit=30)
    expected = _rows(index_dataset(source, TextConfig()).validation)
    assert len(expected) == 30
    for limit in (1, 20, 200):
        limited = index_dataset(source.replace(limit=limit), TextConfig())
        assert _rows(limited.validation) == expected
        assert limited.train.num_rows == limit
    assert _rows(index_for_evaluation(source, "validation")) == expected


@pytest.mark.parametrize("fraction", [0.0, 0.9])
def test_a_limit_is_met_though_most_rows_are_dropped(source_of: Writer, fraction: float) -> None:
    held_out = None if fraction else ["a"]
    labels = [label for word in _words(100) for label in [*["toolong"] * 9, word]]
    source = source_of(labels, held_out, validation_fraction=fraction, limit=8, validation_limit=5)
    assert index_dataset(source, TextConfig(max_chars=5)).train.num_rows == 8


def test_a_limit_ends_the_scan_of_a_large_dataset(source_of: Writer) -> None:
    source = source_of(_words(900), validation_fraction=0.5, limit=8, validation_limit=5)
    scanned: list[object] = []

    def counting(scan: Callable[..., object], parts: list[object]) -> list[object]:
        scanned.extend(parts)
        return [scan(part) for part in parts]

    index_dataset(source, TextConfig(), parallel_map=counting)  # type: ignore[arg-type]  # looser
    assert len(scanned) < 9


def test_evaluation_without_rows_is_an_error(source_of: Writer) -> None:
    with pytest.raises(DatasetError, match="no validation part"):
        index_for_evaluation(source_of(["a"]), "validation")
    with pytest.raises(DatasetError, match="no labelled sample"):
        index_for_evaluation(source_of([None, ""]), None)


def test_rendered_words_are_indexed_without_being_rendered() -> None:
    source = SyntheticSource(num_words=1500, num_validation_words=20)
    index = index_dataset(source, TextConfig())
    assert [len(rows) for rows in index.train.rows] == [1000, 500]
    assert index.validation.num_rows == 20


@pytest.mark.parametrize(
    ("lexicon", "lost"),
    [({"shares": {"price": 1}}, r"\$"), ({"languages": ["en", "ru"]}, "а"), ({}, "")],
)
def test_rendered_texts_that_would_lose_characters_are_refused(
    lexicon: dict[str, object], lost: str
) -> None:
    source = SyntheticSource.model_validate({"num_words": 200, "lexicon": lexicon})
    text = TextConfig(normalization=Normalization.ALPHANUMERIC)
    if lost:
        with pytest.raises(ConfigError, match=f"draws '.*{lost}.*text.normalization=alphanumeric"):
            index_dataset(source, text)
    assert index_dataset(source, TextConfig(normalization=Normalization.UNICODE)).train.num_rows
