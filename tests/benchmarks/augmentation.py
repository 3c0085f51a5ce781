"""Images per second of decoding and augmenting words on one core, against torchvision's v2.

    uv run tests/benchmarks/augmentation.py

The words are rendered, 100x32 pixels, and stored as JPEG of 1.9 kB. The same effects are always on
in ours and in torchvision's: rotation, shear, perspective, colour jitter (brightness, contrast,
saturation, hue), blur, scaling to 128x32. Ours includes making the generator of each sample.
Rounds are short and interleaved, the best of each counts, and seconds are those of the CPU: other
work on the machine disturbs little, and all alike.
"""

import io
import json
import os
import time
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch and OpenCV are imported

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from ocr_model.data.augment import AugmentConfig, augment
from ocr_model.data.seeding import generator_of
from ocr_model.data.synthetic.source import SyntheticSource
from ocr_model.image import ImageGeometry, decode_image

NUM_WORDS, NUM_ROUNDS, WORDS_PER_ROUND = 500, 40, 50
GEOMETRY = ImageGeometry(height=32, width=128)
COMPARED = AugmentConfig(
    rotation_degrees=4, shear_degrees=8, perspective=0.06,
    brightness=30, contrast=0.3, saturation=0.4, hue_degrees=15, gamma=0, inversion_probability=0,
    blur=0.8, blur_probability=1,
    motion_blur=0, noise=0, resolution_loss=0, jpeg=0, erasing=0,
)  # fmt: skip
DEFAULT = AugmentConfig()
TORCHVISION = v2.Compose(
    [
        v2.RandomAffine(degrees=4, shear=8, interpolation=InterpolationMode.BILINEAR),
        v2.RandomPerspective(distortion_scale=0.1, p=1),
        v2.ColorJitter(brightness=0.12, contrast=0.3, saturation=0.4, hue=15 / 360),
        v2.GaussianBlur(kernel_size=3, sigma=(0.1, 0.8)),
        v2.Resize((32, 128)),
    ]
)

_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION  # the fastest, and those of ours

Read = Callable[[bytes], object]


def main() -> None:
    """Print the rates and their ratios as one JSON object."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    words = _words()
    chains: dict[str, Read] = {
        "cv2.imdecode": _imdecode,
        "decode_image": decode_image,
        "decode + augment, the same effects": lambda data: _ours(data, COMPARED),
        "decode + augment, default settings": lambda data: _ours(data, DEFAULT),
        "torchvision v2, tensors": _torchvision_tensors,
        "torchvision v2, PIL images": _torchvision_pil,
    }
    rates = measure(chains, words)
    ours = rates["decode + augment, the same effects"]
    fastest = max(rate for name, rate in rates.items() if name.startswith("torchvision"))
    print(
        json.dumps(
            {
                "bytes_per_word": round(sum(map(len, words)) / NUM_WORDS),
                "images_per_second": {name: round(rate) for name, rate in rates.items()},
                "times_torchvision": round(ours / fastest, 1),
                "share_of_decode_image": round(ours / rates["decode_image"], 3),
                "share_of_imdecode": round(ours / rates["cv2.imdecode"], 3),
            },
            indent=2,
        )
    )


def measure(chains: dict[str, Read], words: list[bytes]) -> dict[str, float]:
    """Return images per second: each part of the words in its fastest round."""
    parts = [words[i : i + WORDS_PER_ROUND] for i in range(0, len(words), WORDS_PER_ROUND)]
    seconds = {name: [float("inf")] * len(parts) for name in chains}
    for _ in range(NUM_ROUNDS):
        for number, part in enumerate(parts):
            for name, read in chains.items():
                num_warm, num_timed = (2, 3) if name.startswith("torchvision") else (20, 30)
                for data in part[:num_warm]:  # brings the code back into the caches
                    read(data)
                timed = part[num_warm : num_warm + num_timed]
                began = time.thread_time()
                for data in timed:
                    read(data)
                taken = (time.thread_time() - began) / len(timed)
                seconds[name][number] = min(seconds[name][number], taken)
    return {name: len(parts) / sum(best) for name, best in seconds.items()}


def _words() -> list[bytes]:
    source = SyntheticSource(num_words=NUM_WORDS)
    (fragment,) = source.fragments("train")
    samples = source.read(fragment, np.arange(NUM_WORDS), epoch=0)
    return [_jpeg(np.asarray(sample.image)) for sample in samples]


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    small = cv2.resize(pixels, (100, 32), interpolation=cv2.INTER_AREA)
    Image.fromarray(small).save(buffer, "JPEG", quality=93)
    return buffer.getvalue()


def _imdecode(data: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS)
    assert pixels is not None
    return pixels


def _ours(data: bytes, config: AugmentConfig) -> np.ndarray:
    rng = generator_of(0, 1, len(data), data[700])  # seed, epoch, fragment, row
    return augment(decode_image(data), GEOMETRY, config, rng)[0]


def _torchvision_tensors(data: bytes) -> torch.Tensor:
    image = torch.from_numpy(_imdecode(data)).permute(2, 0, 1)
    return TORCHVISION(image)


def _torchvision_pil(data: bytes) -> np.ndarray:
    return np.asarray(TORCHVISION(Image.open(io.BytesIO(data)).convert("RGB")))


if __name__ == "__main__":
    main()
