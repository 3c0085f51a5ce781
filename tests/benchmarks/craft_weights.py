"""Weights for EasyOCR's CRAFT network where its own cannot be downloaded: minutes of training.

    uv run tests/benchmarks/craft_weights.py --set weights=craft.pth minutes=20
    uv run tests/benchmarks/pages.py --set reader.detector.name=craft \
        reader.detector.weights=craft.pth pages=funsd.parquet

Shows the whole path of CRAFT on real pages, and what it costs; how well such weights find text says
nothing of EasyOCR's, which saw far more. The network learns from the crops that the embedded
detector learns from, by squared errors of its maps, the worst ones of what is no text counted.
"""

import math
import time
from pathlib import Path

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from ocr_model.config import Config
from ocr_model.data.page_crops import CropConfig
from ocr_model.data.page_loading import LocalPages, PageDataConfig
from ocr_model.data.page_sources import RealPagesConfig, read_real_pages
from ocr_model.entry_points import parse_command_line
from ocr_model.models.interface import PIXEL_MEAN, PIXEL_STD

_TEXT = 0.1  # heat from which on a cell is text
_NEGATIVES_PER_POSITIVE = 3


class CraftWeightsConfig(Config):
    """How long, and on what."""

    weights: str
    """File that is written."""
    real: tuple[RealPagesConfig, ...] = ()
    side: PositiveInt = 256
    """Of crops, in pixels."""
    batch_size: PositiveInt = 8
    minutes: PositiveFloat = 20.0
    learning_rate: PositiveFloat = 1e-3
    num_threads: PositiveInt = 2
    seed: int = 0


def main(config: CraftWeightsConfig) -> None:
    """Train until time is up; the learning rate falls as a cosine of it."""
    from easyocr.craft import CRAFT  # noqa: PLC0415  # takes seconds

    torch.set_num_threads(config.num_threads)
    torch.manual_seed(config.seed)
    network = CRAFT(pretrained=False).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate)
    data = PageDataConfig(real=config.real, crops=CropConfig(side=config.side))
    real = [read_real_pages(kind) for kind in config.real]
    pages = LocalPages(data, config.batch_size, config.seed, real)
    mean, scale = 255 * torch.tensor(PIXEL_MEAN), 1 / (255 * torch.tensor(PIXEL_STD))
    began, num_steps, average = time.monotonic(), 0, 0.0
    share = 0.0
    while share < 1:
        for batch in pages.train_batches(num_steps // pages.num_steps(0), 0):
            share = (time.monotonic() - began) / (60 * config.minutes)
            if share >= 1:
                break
            optimizer.param_groups[0]["lr"] = config.learning_rate * (
                min(1.0, num_steps / 50) * (1 + math.cos(math.pi * share)) / 2
            )
            images = (torch.tensor(batch.images) - mean) * scale
            with torch.autocast("cpu", torch.bfloat16):
                maps, _ = network(images.permute(0, 3, 1, 2))
            loss = _loss(maps.float().permute(0, 3, 1, 2), torch.tensor(batch.heat))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            num_steps += 1
            average += (loss.item() - average) / min(num_steps, 50)
            if num_steps % 25 == 0:
                print(f"{num_steps} steps, {100 * share:.0f} %, loss {average:.4f}", flush=True)
    torch.save(network.state_dict(), Path(config.weights))


def _loss(maps: Tensor, heat: Tensor) -> Tensor:
    is_known = heat[:, 2:].bool()
    truth = heat[:, :2].float() / 255
    errors = (maps - truth).square() * is_known
    is_text = (truth > _TEXT) & is_known
    num_text = is_text.sum()
    others = errors[~is_text & is_known.expand_as(errors)]
    hardest = others.topk(min(len(others), int(_NEGATIVES_PER_POSITIVE * num_text) + 1000)).values
    return errors[is_text].sum() / num_text.clamp(min=1) + hardest.mean()


if __name__ == "__main__":
    main(parse_command_line(CraftWeightsConfig, __doc__ or ""))
