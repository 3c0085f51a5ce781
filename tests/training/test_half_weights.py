from collections.abc import Callable
from pathlib import Path

import torch

from ocr_model.bundle import load_bundle
from ocr_model.data.index import index_dataset
from ocr_model.data.loading import LocalData
from ocr_model.training.config import TrainConfig
from ocr_model.training.recognition import train
from ocr_model.training.run_folder import RunFolder


def test_a_bundle_in_half_precision_holds_the_weights_that_were_judged(
    tmp_path: Path,
    tiny_config: Callable[..., TrainConfig],
    local_data: Callable[..., LocalData],
) -> None:
    sizes = {}
    for half in ("true", "false"):
        config = tiny_config(
            tmp_path, f"run.name=half-{half}", "training.epochs=1", f"training.half_weights={half}"
        )
        index = index_dataset(config.data, config.text)
        folder = RunFolder(config.run.storage, config.run.name)
        result = train(config, index.charset, local_data(config, index), folder)
        bundle = load_bundle(tmp_path / f"half-{half}" / "best")
        judged = result.model.state_dict()
        for name, tensor in bundle.model.state_dict().items():
            torch.testing.assert_close(tensor, judged[name], rtol=0, atol=0)
        sizes[half] = bundle.info.weights_bytes
    assert sizes["true"] < 0.6 * sizes["false"]
