"""Render or convert a dataset: `python jobs/make_dataset.py --set data.num_words=1000000`."""

from ocr_model.entry_points import begin_job, ending_in_one_line
from ocr_model.making.config import MakeDatasetConfig
from ocr_model.making.console import MakingConsole


def main() -> None:
    """Run the job."""
    config = begin_job(MakeDatasetConfig, "Write any source as Parquet shards.")
    from ocr_model.making.tasks import begin, make_dataset  # noqa: PLC0415  # Ray: after begin_job
    from ocr_model.ray_session import connected  # noqa: PLC0415  # the same

    with ending_in_one_line(interrupted="Interrupted; the same command goes on."):
        plan = begin(config)
        with connected(least_cpus=1), MakingConsole() as console:
            card = make_dataset(plan, console.report)
            console.show_end()
    print(f"Shards: {card.address}")
    print(f"Card:   {card.address}/README.md, card.json, card.png")
    print(f"Sheet:  {card.address}/contact_sheet.png")
    print(f"Next:   {card.train_command}")


if __name__ == "__main__":
    main()
