"""Read a folder or a bucket: `python jobs/batch_ocr.py --set input=FROM output=TO`."""

import logging
import os
import sys

from ocr_model.config import parse_command_line
from ocr_model.errors import OCRError
from ocr_model.inference.bulk.config import BatchConfig
from ocr_model.inference.bulk.console import BatchConsole


def main() -> None:
    """Run the job; where some of the input is not read yet, its status is 1, or 130."""
    config = parse_command_line(BatchConfig, "Read every image of a folder or a bucket.")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    if "RAY_ADDRESS" not in os.environ:  # a local Ray needs no second environment for `uv run`
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    from ocr_model.inference.batch import read_batch  # noqa: PLC0415  # Ray reads it
    from ocr_model.inference.bulk.manifest import begin  # noqa: PLC0415  # torch waits for settings
    from ocr_model.ray_session import connected  # noqa: PLC0415  # Ray reads it

    try:
        manifest = begin(config)
        with connected(least_cpus=2 + (os.cpu_count() or 1)), BatchConsole() as console:
            result = read_batch(manifest, console.report)
            console.summarize(result, manifest)
    except OCRError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on.", file=sys.stderr)
        sys.exit(130)
    if not result.is_complete:
        sys.exit(130 if result.reason == "interrupted" else 1)


if __name__ == "__main__":
    main()
