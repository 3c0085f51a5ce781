"""Give labels their case back: `python jobs/recase.py --set input=words.parquet output=...`."""

from ocr_model.entry_points import begin_job, ending_in_one_line
from ocr_model.inference.recasing import RecaseConfig, recase_file


def main() -> None:
    """Run the job."""
    config = begin_job(RecaseConfig, "Give labels in capitals the case that is seen.")
    with ending_in_one_line():
        counts = recase_file(config)
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    print(f"{config.output}: {told or 'no labels'}")


if __name__ == "__main__":
    main()
