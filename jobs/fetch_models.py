"""Fetch CRAFT's weights once: `python jobs/fetch_models.py --set folder=DIR`."""

from ocr_model.detection.craft_weights import FetchConfig, fetch_craft
from ocr_model.entry_points import begin_job, ending_in_one_line


def main() -> None:
    """Run the job."""
    config = begin_job(FetchConfig, "Fetch the weights of EasyOCR's detector.")
    with ending_in_one_line():
        path = fetch_craft(config)
    settings = f"reader.detector.name=craft reader.detector.weights='{path.parent}'"
    print(f"Weights: {path}\nUse:     --set {settings}")


if __name__ == "__main__":
    main()
