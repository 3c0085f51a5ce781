"""The models in the box."""

from pathlib import Path

_FOLDER = Path(__file__).parent

RECOGNIZER = "compact"
SYNTHETIC_RECOGNIZER = "compact-synthetic"
DETECTOR = "compact-detector"


def embedded_names() -> list[str]:
    """List the models that came with the package."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/model.json"))


def find_model(name: str | Path) -> Path:
    """Return the folder of a model in the box by its name, or else of the model at that path.

    A `Path` is never a name, so a folder of one's own that is called so is `Path("compact")`, or
    `./compact`.
    """
    if isinstance(name, str) and name in embedded_names():
        return _FOLDER / name
    return Path(name).expanduser()
