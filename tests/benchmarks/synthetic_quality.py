"""What rendered words teach: a small model trained on them, scored on real words it never saw.

    uv run tests/benchmarks/synthetic_quality.py --set real='[iiit5k.parquet, svt.parquet]' \
        output=quality.jsonl variants='[full, plain, no border]'

Every variant trains the same model for the same number of words, without augmentation unless told:
`full` on the default renderer, `no X` without its stage X, `plain` on black text on white that
Pillow draws in the same fonts. One JSON line per variant; those in the file already are not run
again.
"""

import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image, ImageDraw, ImageFont
from pydantic import PositiveInt

from ocr_model.config import Config, load_config
from ocr_model.data.augment import AugmentConfig
from ocr_model.data.index import index_dataset
from ocr_model.data.synthetic.renderer import word_renderer
from ocr_model.data.synthetic.stages import RendererConfig
from ocr_model.data.synthetic.words import LexiconConfig, TextSampler
from ocr_model.entry_points import parse_command_line
from ocr_model.inference.evaluation import EvaluateConfig, evaluate
from ocr_model.training.config import TrainConfig
from ocr_model.training.local_data import build_local_data
from ocr_model.training.recognition import train
from ocr_model.training.run_folder import RunFolder

STAGES = {
    name: [f"data.renderer.{name.replace(' ', '.')}.probability=0"]
    for name in (
        "weight", "tracking", "curve", "border", "shadow", "distortion", "surface", "clutter",
        "degrade blur", "degrade noise", "degrade resolution", "degrade jpeg",
    )
} | {
    "palette": ["data.renderer.palette=false"],
    "crop": ["data.renderer.crop.least=0", "data.renderer.crop.most=0"],
    "packages": ["data.renderer.fonts.packages=false"],
}  # fmt: skip

MODEL = [
    "model.backbone=resnet10", "model.backbone_width=0.25", "model.hidden=128",
    "model.num_layers=1", "model.num_heads=4", "model.num_kv_heads=4", "model.feed_forward=256",
    "model.decoder_weight=0", "model.decode_with=ctc", "model.ctc_weight=1",
    "optimizer.learning_rate=2e-3", "training.batch_size=32", "training.epochs=1",
    "data.num_validation_words=500",
]  # fmt: skip


class QualityConfig(Config):
    """What is measured."""

    real: tuple[str, ...]
    """Parquet files of real words; they are only read, never trained on."""
    variants: tuple[str, ...] = ("full", "plain", *(f"no {name}" for name in STAGES))
    num_words: PositiveInt = 60_000
    seeds: PositiveInt = 1
    augmentation: bool = False
    num_threads: PositiveInt = 1
    output: str = "quality.jsonl"
    extra: tuple[str, ...] = ()
    """Further settings of jobs/train.py, for all variants."""


def main() -> None:
    """Train and score every variant."""
    config = parse_command_line(QualityConfig, "Score what rendered words teach.")
    torch.set_num_threads(config.num_threads)
    output = Path(config.output)
    done = {}
    if output.exists():
        lines = [json.loads(line) for line in output.read_text().splitlines()]
        done = {(line["variant"], line["seed"]): line for line in lines}
    for seed in range(config.seeds):
        for variant in config.variants:
            if (variant, seed) in done:
                continue
            figures = _measure(config, variant, seed)
            line = json.dumps({"variant": variant, "seed": seed, **figures})
            print(line, flush=True)
            with output.open("a") as file:
                file.write(line + "\n")


def _measure(config: QualityConfig, variant: str, seed: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        run = load_config(TrainConfig, None, _settings(config, variant, seed, Path(folder)))
        index = index_dataset(run.data, run.text)
        data = build_local_data(run, index)
        result = train(run, index.charset, data, RunFolder(folder, "run"))
        scored = evaluate(
            EvaluateConfig.model_validate(
                {
                    "model": f"{folder}/run/best",
                    "data": {"source": "parquet", "path": list(config.real)},
                }
            )
        )
    last = result.progress.history[-1]
    return {
        "real": scored["word_accuracy"],
        "real_cer": scored["cer"],
        "rendered": result.metrics["word_accuracy"],
        "seconds": last["seconds"],
    }


def _settings(config: QualityConfig, variant: str, seed: int, folder: Path) -> list[str]:
    settings = [*MODEL, f"training.seed={seed}", f"data.seed={seed}", f"run.storage={folder}"]
    if not config.augmentation:
        settings += [f"augmentation.{name}=0" for name in AugmentConfig.model_fields]
    if variant == "plain":
        path = folder / "plain.parquet"
        _write_plain_words(path, config.num_words + 500, seed)
        settings = [s for s in settings if "num_validation_words" not in s]
        settings += ["data.source=parquet", f"data.path={path}", "data.validation_fraction=0.008"]
    else:
        settings += [f"data.num_words={config.num_words}"]
    if variant.startswith("no "):
        settings += STAGES[variant.removeprefix("no ")]
    return [*settings, *config.extra]


def _write_plain_words(path: Path, num_words: int, seed: int) -> None:
    """Draw black on white with Pillow, in the fonts and words of the renderer."""
    fonts = word_renderer(RendererConfig()).fonts
    sampler, rng = TextSampler(LexiconConfig(), fonts), np.random.default_rng(seed)
    images, labels = [], []
    for _ in range(num_words):
        text = sampler.draw(rng, is_validation=False)
        face = fonts.draw_face(text, rng)
        assert face is not None
        font = ImageFont.truetype(face.path, 28)
        left, top, right, bottom = font.getbbox(text)
        image = Image.new("RGB", (int(right - left) + 8, int(bottom - top) + 8), "white")
        ImageDraw.Draw(image).text((4 - left, 4 - top), text, "black", font)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        images.append(buffer.getvalue())
        labels.append(text)
    pq.write_table(pa.table({"image": images, "label": labels}), path, row_group_size=1000)


if __name__ == "__main__":
    main()
