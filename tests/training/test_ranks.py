import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# One rank of one or two, over gloo: trains some runs and prints how each ended.
RANK = """
import dataclasses, json, sys
import torch
import torch.distributed as dist
from ocr_model.config import load_config
from ocr_model.data.index import index_dataset
from ocr_model.errors import OCRError
from ocr_model.training.config import TrainConfig
from ocr_model.training.local_data import build_local_data
from ocr_model.training import recognition
from ocr_model.training.recognition import train
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.worker import Worker

folder, rank, settings = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
world_size = int(sys.argv[4])
torch.set_num_threads(1)
dist.init_process_group(
    "gloo", init_method=f"file://{folder}/rendezvous-{world_size}", rank=rank, world_size=world_size
)
worker = Worker(rank, world_size)

def run(name, *overrides, own_folder=False):
    config = load_config(TrainConfig, None, [*settings, f"run.storage={folder}", *overrides])
    index = index_dataset(config.data, config.text)
    place = RunFolder(folder, f"{name}-{rank}" if own_folder else name)
    data = build_local_data(config, index, worker)
    try:
        result = train(config, index.charset, data, place, worker=worker)
    except OCRError as error:
        return {"error": type(error).__name__, "message": str(error)}
    history = result.progress.history
    return {
        "reason": result.progress.finished,
        "epochs": len(history),
        "num_samples": len(result.samples),
        "losses": [entry["train/loss"] for entry in history],
    }

rendered = ["data.num_words=48", "data.lexicon.max_chars=12", "data.num_validation_words=9"]
sized = run(f"sized-{world_size}", *rendered, "data.num_words=96",
            "image.fit=pad", "batching.widths=[32, 64]", "batching.pixels_per_char=6",
            "training.batch_size=8", "training.num_streams=2", "model.dropout=0",
            "optimizer.learning_rate=1e-4", "training.epochs=2", "training.accumulation_steps=1",
            "training.teacher_forcing.end=0.5", "curriculum.name=short_first",
            "curriculum.start_chars=6")
if world_size == 1:
    print(json.dumps([sized]))
    sys.exit()
stops = run("stops", *rendered, "optimizer.learning_rate=1e-30",
            "training.early_stopping_patience=2", "training.monitor=word_accuracy")
accumulates = run("accumulates", "data.source=parquet", f"data.path={folder}/words.parquet",
                  "data.validation_fraction=0.25", "training.accumulation_steps=8",
                  "training.epochs=2", "training.max_unreadable=0.2")
fails = run("fails", "data.source=parquet", f"data.path={folder}/words.parquet",
            "data.validation_fraction=0.25", "training.epochs=2", "training.max_unreadable=0")
apart = run("apart", *rendered, "training.epochs=1", own_folder=True)
sound = recognition.to_device
if rank == 1:
    recognition.to_device = lambda *arguments: dataclasses.replace(
        sound(*arguments), weights=sound(*arguments).weights * float("nan")
    )
diverges = run("diverges", *rendered)
print(json.dumps([stops, accumulates, fails, apart, sized, diverges]))
dist.barrier()
dist.destroy_process_group()
"""

Outcome = dict[str, Any]

SETTINGS = [
    "text.max_chars=12",
    "image.width=64",
    "model.backbone=resnet10",
    "model.backbone_width=0.25",
    "model.hidden=32",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.num_kv_heads=2",
    "model.feed_forward=64",
    "model.max_chars=12",
    "training.batch_size=16",
    "training.epochs=6",
    "training.precision=fp32",
]


@pytest.fixture(scope="module")
def outcomes(
    write_words: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> list[list[Outcome]]:
    folder: Path = tmp_path_factory.mktemp("ranks")
    words = [f"{a}{b}{n}" for a in "abcd" for b in "xyz" for n in range(4)]
    write_words(folder / "words.parquet", words, {3: b"not an image", 17: b""})
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(folder), str(rank), json.dumps(SETTINGS), str(size)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank, size in [(0, 2), (1, 2), (0, 1)]
    ]  # fmt: skip
    found = []
    for process in ranks:
        output, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
        found.append(json.loads(output.splitlines()[-1]))
    return found


def test_every_rank_stops_early_at_the_same_epoch(outcomes: list[list[Outcome]]) -> None:
    assert outcomes[0][0] == outcomes[1][0]
    assert outcomes[0][0]["reason"] == "no better word_accuracy in 2 epochs"
    assert outcomes[0][0]["epochs"] == 3


def test_an_unreadable_image_on_one_rank_leaves_the_ranks_in_step(
    outcomes: list[list[Outcome]],
) -> None:
    assert outcomes[0][1] == outcomes[1][1]
    assert outcomes[0][1]["reason"] == "all epochs are done"
    assert outcomes[0][1]["epochs"] == 2


def test_too_many_unreadable_images_fail_all_ranks_and_name_those_of_each(
    outcomes: list[list[Outcome]],
) -> None:
    assert outcomes[0][2] == outcomes[1][2] or {o[2]["error"] for o in outcomes[:2]} == {
        "DatasetError"
    }
    assert all("could not be read" in outcome[2]["message"] for outcome in outcomes[:2])


def test_ranks_without_a_shared_folder_are_told_so(outcomes: list[list[Outcome]]) -> None:
    assert {outcome[3]["error"] for outcome in outcomes[:2]} == {"CheckpointError"}


def test_two_ranks_reach_the_losses_of_one_with_widths_and_a_curriculum(
    outcomes: list[list[Outcome]],
) -> None:
    two, one = outcomes[0][4], outcomes[2][0]
    assert two == outcomes[1][4]
    assert one["reason"] == two["reason"] == "all epochs are done"
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-3)


def test_the_report_is_handed_the_samples_of_all_ranks(outcomes: list[list[Outcome]]) -> None:
    assert [outcome[0]["num_samples"] for outcome in outcomes[:2]] == [9, 9]


def test_a_loss_that_is_not_finite_names_the_rank_that_had_it(
    outcomes: list[list[Outcome]],
) -> None:
    first, second = (outcome[5] for outcome in outcomes[:2])
    assert first == second
    assert first["error"] == "NonFiniteLossError"
    assert "step 1 (epoch 1): loss nan" in first["message"]
    assert "the batch of rank 1 begins with ['synthetic" in first["message"]
    assert first["message"].endswith("look at these samples")  # there is no checkpoint yet
