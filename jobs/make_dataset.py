"""Render or convert a dataset: `python jobs/make_dataset.py --set data.num_words=1000000`."""

import logging
import os
import sys

from ocr_model.config import parse_command_line
from ocr_model.errors import OCRError
from ocr_model.making.config import MakeDatasetConfig
from ocr_model.making.console import MakingConsole


def main() -> None:
    """Run the job."""
    config = parse_command_line(MakeDatasetConfig, "Write any source as Parquet shards.")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if "RAY_ADDRESS" not in os.environ:  # a local Ray needs no second environment for `uv run`
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    from ocr_model.making.tasks import begin, make_dataset  # noqa: PLC0415  # Ray reads it
    from ocr_model.ray_session import connected  # noqa: PLC0415  # the same

    try:
        plan = begin(config)
        with connected(least_cpus=1), MakingConsole() as console:
            card = make_dataset(plan, console.report)
            console.show_end()
    except OCRError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on.", file=sys.stderr)
        sys.exit(130)
    print(f"Shards: {card.address}")
    print(f"Card:   {card.address}/README.md, card.json, card.png")
    print(f"Sheet:  {card.address}/contact_sheet.png")
    print(f"Next:   {card.train_command}")


if __name__ == "__main__":
    main()
