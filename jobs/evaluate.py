"""Score a bundle: `python jobs/evaluate.py --set model=DIR data.source=parquet data.path=FILE`."""

import json

from ocr_model.entry_points import begin_job, ending_in_one_line
from ocr_model.inference.evaluation import EvaluateConfig, evaluate


def main() -> None:
    """Run the job; the last line of output is one JSON object."""
    config = begin_job(EvaluateConfig, "Read a dataset with a bundle and score it.")
    with ending_in_one_line():
        figures = evaluate(config)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
