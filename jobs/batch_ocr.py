"""Read a folder or a bucket: `python jobs/batch_ocr.py --set input=FROM output=TO`."""

import os
import sys

from ocr_model.entry_points import INTERRUPTED, begin_job, ending_in_one_line
from ocr_model.inference.bulk.config import BatchConfig
from ocr_model.inference.bulk.console import BatchConsole


def main() -> None:
    """Run the job; where some of the input is not read yet, its status is 1, or 130."""
    config = begin_job(BatchConfig, "Read every image of a folder or a bucket.")
    from ocr_model.inference.batch import read_batch  # noqa: PLC0415  # Ray: after begin_job
    from ocr_model.inference.bulk.manifest import begin  # noqa: PLC0415  # torch waits for settings
    from ocr_model.ray_session import connected  # noqa: PLC0415  # Ray: after begin_job

    with ending_in_one_line(interrupted="Interrupted; the same command goes on."):
        manifest = begin(config)
        with connected(least_cpus=2 + (os.cpu_count() or 1)), BatchConsole() as console:
            result = read_batch(manifest, console.report)
            console.summarize(result, manifest)
    if not result.is_complete:
        sys.exit(INTERRUPTED if result.reason == "interrupted" else 1)


if __name__ == "__main__":
    main()
