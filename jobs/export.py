"""Make faster and smaller kinds of a bundle: `python jobs/export.py --set model=DIR`."""

from ocr_model.entry_points import begin_job, ending_in_one_line
from ocr_model.exporting.config import ExportConfig
from ocr_model.exporting.console import evaluate_command, summary
from ocr_model.exporting.export import export


def main() -> None:
    """Run the job."""
    config = begin_job(ExportConfig, "Export a bundle, and check it on words.")
    with ending_in_one_line():
        folders = export(config, lambda kind, figures: print(summary(kind, figures)))
    for kind, folder in folders.items():
        print(f"{kind + ':':6} {folder}")
    print(f"Next:  {evaluate_command(config)}")


if __name__ == "__main__":
    main()
