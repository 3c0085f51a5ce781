"""Draw words as training sees them: `python jobs/preview_data.py [--config PATH] [--set ...]`."""

import logging
import sys
from pathlib import Path

from ocr_model.config import parse_command_line
from ocr_model.errors import OCRError
from ocr_model.training.preview import PreviewConfig, write_preview


def main() -> None:
    """Run the job; takes every setting of jobs/train.py."""
    quickstart = Path(__file__).parent / "configs" / "quickstart.yaml"
    config = parse_command_line(
        PreviewConfig, "Draw training words, augmented.", default_config=quickstart
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        path = write_preview(config)
    except OCRError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(f"Preview: {path}")


if __name__ == "__main__":
    main()
