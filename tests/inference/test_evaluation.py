import shlex
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from ocr_model.config import load_config
from ocr_model.data.index import index_dataset
from ocr_model.data.loading import LocalData
from ocr_model.errors import BundleError, ConfigError, DatasetError
from ocr_model.inference.evaluation import EvaluateConfig, evaluate
from ocr_model.inference.runtimes import TorchRuntime
from ocr_model.training.config import TrainConfig
from ocr_model.training.console import evaluate_command
from ocr_model.training.loop import TrainResult
from ocr_model.training.recognition import train
from ocr_model.training.run_folder import RunFolder

WORDS = ["ab1", "Cd2", "xyz", "a b", "don't"] * 12  # some of them beyond the model's characters


@pytest.fixture
def words(write_words: Callable[..., Path], tmp_path: Path) -> Path:
    return write_words(tmp_path / "words.parquet", WORDS)


def settings(bundle: Path, data: Path, *overrides: str) -> EvaluateConfig:
    common = [f"model={bundle}", "data.source=parquet", f"data.path={data}", "batch_size=16"]
    return load_config(EvaluateConfig, None, [*common, *overrides])


def rows(path: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = pq.read_table(path).to_pylist()
    return found


def test_evaluation_gives_every_figure_and_a_row_per_word(
    bundle_path: Path, words: Path, tmp_path: Path
) -> None:
    output = tmp_path / "new" / "out.parquet"
    figures = evaluate(settings(bundle_path, words, f"output={output}"))
    assert {
        "num_words", "word_accuracy", "word_accuracy_exact", "cer", "wer", "ned", "bleu",
        "words_per_second", "unreadable_images",
    } <= figures.keys()  # fmt: skip
    assert figures["num_words"] == len(WORDS)
    assert figures["words_per_second"] > 0
    table = rows(output)
    assert [row["truth"] for row in table] == WORDS
    assert len({row["key"] for row in table}) == len(WORDS)
    share = sum(row["is_exact"] is True for row in table) / len(table)
    assert figures["word_accuracy_exact"] == pytest.approx(share, abs=1e-6)
    share = sum(row["is_right"] is True for row in table) / len(table)
    assert figures["word_accuracy"] == pytest.approx(share, abs=1e-6)
    for row in table:
        assert len(row["char_confidences"]) == len(str(row["text"]))  # type: ignore[arg-type]  # a list


def test_an_unreadable_image_is_a_word_read_wrong(
    bundle_path: Path, write_words: Callable[..., Path], tmp_path: Path
) -> None:
    data = write_words(tmp_path / "w.parquet", WORDS, {3: b"", 20: b"no image", 21: b"none"})
    output = tmp_path / "out.parquet"
    config = settings(bundle_path, data, f"output={output}", "max_unreadable=0.05")
    figures = evaluate(config)
    assert (figures["num_words"], figures["unreadable_images"]) == (60, 3)
    table = rows(output)
    bad = [row for row in table if row["error"]]
    assert [str(row["key"]).rpartition(":")[2] for row in bad] == ["3", "20", "21"]
    assert all((row["text"], row["confidence"], row["is_right"]) == ("", 0, False) for row in bad)

    whole = tmp_path / "whole.parquet"
    readable = write_words(tmp_path / "readable.parquet", WORDS)
    evaluate(settings(bundle_path, readable, f"output={whole}"))
    others = [row["text"] for row in table if not row["error"]]
    beside = [row["text"] for i, row in enumerate(rows(whole)) if i not in (3, 20, 21)]
    assert others == beside  # no reading has moved to another word


def test_too_many_unreadable_images_fail_the_evaluation(
    bundle_path: Path, write_words: Callable[..., Path], tmp_path: Path
) -> None:
    data = write_words(tmp_path / "w.parquet", WORDS, {3: b""})
    with pytest.raises(DatasetError, match=r"1 of 60 .*max_unreadable=0\.01.*#0:3: empty"):
        evaluate(settings(bundle_path, data))


def test_a_batch_of_unreadable_images_is_survived(
    bundle_path: Path, write_words: Callable[..., Path], tmp_path: Path
) -> None:
    data = write_words(tmp_path / "w.parquet", WORDS[:20], dict.fromkeys(range(16), b""))
    figures = evaluate(settings(bundle_path, data, "max_unreadable=1"))
    assert (figures["num_words"], figures["unreadable_images"]) == (20, 16)


def test_limit_and_seed_choose_the_same_words_again(
    bundle_path: Path, words: Path, tmp_path: Path
) -> None:
    chosen = []
    for number, seed in enumerate([0, 0, 1]):
        output = tmp_path / f"{number}.parquet"
        evaluate(
            settings(bundle_path, words, "data.limit=10", f"data.seed={seed}", f"output={output}")
        )
        chosen.append([row["key"] for row in rows(output)])
    assert len(chosen[0]) == len(set(chosen[0])) == 10
    assert chosen[0] == chosen[1]
    assert chosen[0] != chosen[2]


def test_the_validation_subset_gives_the_figures_that_training_ended_with(
    bundle_path: Path, trained_config: TrainConfig, trained_result: TrainResult
) -> None:
    config = EvaluateConfig(model=str(bundle_path), data=trained_config.data, subset="validation")
    figures = evaluate(config)
    assert figures["num_words"] == trained_result.metrics["num_words"] > 10
    for name in ("word_accuracy", "word_accuracy_exact", "token_accuracy", "cer", "wer", "ned"):
        assert figures[name] == pytest.approx(trained_result.metrics[name], abs=1e-6), name
    assert figures["bleu"] == pytest.approx(trained_result.metrics["bleu"], abs=1e-4)


@pytest.mark.parametrize(
    "overrides",
    [
        ["text.max_chars=4"],
        ["model.name=crnn", "model.hidden=32"],  # of 64 pixels, 8 columns
        ["data.limit=40", "data.validation_limit=null"],
        ["data.validation_limit=15"],
        ["data.validation_limit=15", "data.limit=40", "data.seed=3", "text.max_chars=4"],
    ],
    ids=["long labels", "few columns", "limit", "validation_limit", "all"],
)
def test_the_printed_command_gives_the_figures_that_training_ended_with(
    overrides: list[str],
    tiny_config: Callable[..., TrainConfig],
    write_words: Callable[..., Path],
    local_data: Callable[..., LocalData],
    tmp_path: Path,
) -> None:
    words = [word for n in range(50) for word in (f"ab{n}", f"word{n}", f"aabbccdd{n}", "?!", "cd")]
    common = [
        "data.source=parquet", f"data.path={write_words(tmp_path / 'w.parquet', words)}",
        "data.validation_fraction=0.25", "training.epochs=1",
    ]  # fmt: skip
    config = tiny_config(tmp_path, *common, *overrides)
    columns = config.model.num_columns(config.image.width)
    index = index_dataset(config.data, config.text, num_columns=columns)
    folder = RunFolder(config.run.storage, config.run.name)
    trained = train(config, index.charset, local_data(config, index), folder)
    command = shlex.split(evaluate_command(config, f"{folder.address}/best"))
    figures = evaluate(load_config(EvaluateConfig, None, command[command.index("--set") + 1 :]))
    assert figures["num_words"] == trained.metrics["num_words"] > 10
    for name in ("word_accuracy", "word_accuracy_exact", "cer", "wer", "ned"):
        assert figures[name] == pytest.approx(trained.metrics[name], abs=1e-6), name


def test_train_and_validation_subsets_share_no_word_and_miss_none(
    bundle_path: Path, trained_config: TrainConfig, tmp_path: Path
) -> None:
    keys = {}
    for subset in ("all", "train", "validation"):
        output = tmp_path / f"{subset}.parquet"
        values = {"model": str(bundle_path), "subset": subset, "output": str(output)}
        config = EvaluateConfig.model_validate({**values, "data": trained_config.data})
        evaluate(config)
        keys[subset] = {str(row["key"]) for row in rows(output)}
    assert not keys["train"] & keys["validation"]
    assert keys["train"] | keys["validation"] == keys["all"]


def test_synthetic_words_are_evaluated_without_any_file(bundle_path: Path) -> None:
    overrides = [f"model={bundle_path}", "data.num_validation_words=20", "data.seed=1"]
    assert evaluate(load_config(EvaluateConfig, None, overrides))["num_words"] == 20


def test_a_tilde_is_the_home_folder_everywhere(
    bundle_path: Path,
    write_words: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "bundle").symlink_to(bundle_path)
    write_words(tmp_path / "w.parquet", ["ab1"])
    word = pq.read_table(tmp_path / "w.parquet").to_pylist()[0]["image"]["bytes"]
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "ab1.png").write_bytes(word)
    for source, path in (("parquet", "~/w.parquet"), ("folder", "~/words")):
        data = [f"data.source={source}", f"data.path={path}"]
        output = f"output=~/{source}/out.parquet"
        config = load_config(EvaluateConfig, None, ["model=~/bundle", output, *data])
        assert evaluate(config)["num_words"] == 1
        assert len(rows(tmp_path / source / "out.parquet")) == 1


def test_a_missing_bundle_and_missing_data_say_so(bundle_path: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nowhere"):
        evaluate(settings(tmp_path / "nowhere", tmp_path))
    with pytest.raises(DatasetError, match="nowhere"):
        evaluate(settings(bundle_path, tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["subset=validation", "data.limit=5"], r"data\.limit=5 .*no effect on subset=validation"),
        (["data.validation_limit=5"], r"data\.validation_limit=5 has no effect on subset=all"),
    ],
)
def test_a_limit_of_the_other_part_is_an_error(
    bundle_path: Path, words: Path, overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(bundle_path, words, *overrides)


@pytest.mark.parametrize("kind", ["onnx", "int8"])
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_a_precision_of_graphs_that_have_their_own_is_an_error(
    bundle_path: Path, words: Path, kind: str, precision: str
) -> None:
    with pytest.raises(ConfigError, match=rf"precision={precision} has no effect on kind={kind}"):
        settings(bundle_path, words, f"kind={kind}", f"precision={precision}")


def test_a_precision_is_not_asked_of_any_kind_and_stays_so_in_the_settings_that_are_kept(
    bundle_path: Path, words: Path, tmp_path: Path
) -> None:
    for kind in ("torch", "half", "onnx", "int8"):
        config = settings(bundle_path, words, f"kind={kind}")
        path = tmp_path / f"{kind}.yaml"
        path.write_text(config.to_yaml(), encoding="utf-8")
        assert load_config(EvaluateConfig, path) == config


def test_where_no_precision_is_named_it_is_fp32(bundle_path: Path, words: Path) -> None:
    runtimes = [
        settings(bundle_path, words, *given).load_recognizer().runtime
        for given in ([], ["precision=fp32"], ["precision=bf16"])
    ]
    dtypes = [runtime.dtype for runtime in runtimes if isinstance(runtime, TorchRuntime)]
    assert dtypes == [torch.float32, torch.float32, torch.bfloat16]


def test_a_subset_that_the_data_does_not_have_is_an_error(bundle_path: Path, words: Path) -> None:
    with pytest.raises(DatasetError, match="no validation part"):
        evaluate(settings(bundle_path, words, "subset=validation"))
    with pytest.raises(ConfigError, match="no effect"):
        evaluate(EvaluateConfig(model=str(bundle_path), subset="train"))  # of rendered words
