"""How many pages of each kind one core renders in a second, and what memory that takes.

    OMP_NUM_THREADS=1 uv run tests/benchmarks/page_speed.py --set num_pages=100

Pages are 1,024 pixels high and scenes 640 wide. Seconds are of this process alone, so other work
on the machine matters little.
"""

import time

import cv2
import psutil
from pydantic import PositiveInt

from ocr_model.config import Config
from ocr_model.data.synthetic.pages import KindShares, PageConfig, render_page
from ocr_model.entry_points import parse_command_line


class SpeedConfig(Config):
    """What is measured."""

    num_pages: PositiveInt = 100
    """Of each kind."""


def main(arguments: SpeedConfig) -> None:
    cv2.setNumThreads(1)
    process = psutil.Process()
    for kind in KindShares.model_fields:
        config = PageConfig.model_validate(
            {
                "kinds": {name: float(name == kind) for name in KindShares.model_fields},
                "page_side": {"least": 1024, "most": 1024},
                "scene_side": {"least": 640, "most": 640},
            }
        )
        for number in range(5):  # fonts, words and textures are loaded
            render_page(config, 1, number, is_validation=False)
        start, num_words = time.process_time(), 0
        for number in range(arguments.num_pages):
            num_words += len(render_page(config, 0, number, is_validation=False).words)
        rate = arguments.num_pages / (time.process_time() - start)
        megabytes = process.memory_info().rss / 2**20
        words = num_words / arguments.num_pages
        print(f"{kind:9} {rate:5.1f} pages/s, {words:.0f} words each, {megabytes:.0f} MiB")


if __name__ == "__main__":
    main(parse_command_line(SpeedConfig, __doc__ or ""))
