"""Draw words as training sees them: `python jobs/preview_data.py [--config PATH] [--set ...]`."""

from pathlib import Path

from ocr_model.entry_points import begin_job, ending_in_one_line
from ocr_model.training.preview import PreviewConfig, write_preview


def main() -> None:
    """Run the job; takes every setting of jobs/train.py."""
    quickstart = Path(__file__).parent / "configs" / "quickstart.yaml"
    config = begin_job(PreviewConfig, "Draw training words, augmented.", default_config=quickstart)
    with ending_in_one_line():
        path = write_preview(config)
    print(f"Preview: {path}")


if __name__ == "__main__":
    main()
