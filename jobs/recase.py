"""Give labels their case back: `python jobs/recase.py --set input=words.parquet output=...`."""

import sys

from ocr_model.config import parse_command_line
from ocr_model.errors import OCRError
from ocr_model.inference.recasing import RecaseConfig, recase_file


def main() -> None:
    """Run the job."""
    config = parse_command_line(RecaseConfig, "Give labels in capitals the case that is seen.")
    try:
        counts = recase_file(config)
    except OCRError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    print(f"{config.output}: {told or 'no labels'}")


if __name__ == "__main__":
    main()
