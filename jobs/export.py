"""Make faster and smaller kinds of a bundle: `python jobs/export.py --set model=DIR`."""

import logging
import sys

from ocr_model.config import parse_command_line
from ocr_model.errors import OCRError
from ocr_model.exporting.config import ExportConfig
from ocr_model.exporting.console import evaluate_command, summary
from ocr_model.exporting.export import export


def main() -> None:
    """Run the job."""
    config = parse_command_line(ExportConfig, "Export a bundle, and check it on words.")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        folders = export(config, lambda kind, figures: print(summary(kind, figures)))
    except OCRError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    for kind, folder in folders.items():
        print(f"{kind + ':':6} {folder}")
    print(f"Next:  {evaluate_command(config)}")


if __name__ == "__main__":
    main()
