"""Score a bundle: `python jobs/evaluate.py --set model=DIR data.source=parquet data.path=FILE`."""

import json
import logging
import sys

from ocr_model.config import parse_command_line
from ocr_model.errors import OCRError
from ocr_model.inference.evaluation import EvaluateConfig, evaluate


def main() -> None:
    """Run the job; the last line of output is one JSON object."""
    config = parse_command_line(EvaluateConfig, "Read a dataset with a bundle and score it.")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        figures = evaluate(config)
    except OCRError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
