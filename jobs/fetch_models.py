"""Fetch CRAFT's weights once: `python jobs/fetch_models.py --set folder=DIR`."""

import logging
import sys

from ocr_model.config import parse_command_line
from ocr_model.detection.craft_weights import FetchConfig, fetch_craft
from ocr_model.errors import OCRError


def main() -> None:
    """Run the job."""
    config = parse_command_line(FetchConfig, "Fetch the weights of EasyOCR's detector.")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        path = fetch_craft(config)
    except OCRError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    settings = f"reader.detector.name=craft reader.detector.weights='{path.parent}'"
    print(f"Weights: {path}\nUse:     --set {settings}")


if __name__ == "__main__":
    main()
