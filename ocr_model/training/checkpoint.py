"""What a run must remember to go on as if nothing had happened."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ocr_model.errors import CheckpointError
from ocr_model.training.config import RunSettings

# Settings that may differ between a run and its resumption: they change where and how fast it
# computes, not what.
_FREE = (
    "run.",
    "scaling.",
    "training.max_minutes",
    "training.early_stopping_patience",
    "training.checkpoint_every_steps",
    "training.num_streams",  # compared by the loop, once it is known what null means
)


@dataclass
class Progress:
    """Everything about a run's state but the tensors. All values are plain."""

    epoch: int = 0
    """The epoch that is under way, from 0."""
    step_in_epoch: int = 0
    """Steps of that epoch already taken: the position in the data."""
    global_step: int = 0
    """With the seed, the state of every random generator: each step seeds its own."""
    total_steps: int = 0
    """Length of the schedule."""
    num_streams: int = 1
    """Parts that each batch is read in; fixed when the run starts."""
    best_value: float | None = None
    best_epoch: int = -1
    num_bad_epochs: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    """Metrics of each epoch."""
    sums: list[float] = field(default_factory=lambda: [0.0] * 5)
    """Running sums of the epoch under way: loss, samples, right tokens, tokens, unreadable."""
    seconds: float = 0.0
    """Time spent training, over all resumptions."""
    finished: str = ""
    """Why the run is over; empty while it is not."""

    def to_state(self) -> dict[str, Any]:
        """Return plain values for `torch.save`."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Progress":
        """Undo `to_state`.

        Raises:
            CheckpointError: The state is of another version of this program.
        """
        names = {f.name for f in fields(cls)}
        if set(state) != names:
            raise CheckpointError(
                f"the checkpoint is of another version: it differs in {sorted(names ^ set(state))}"
            )
        return cls(**state)


def require_same_settings(config: RunSettings, saved: dict[str, Any]) -> None:
    """Refuse to go on with a run under other settings.

    Raises:
        CheckpointError: Settings differ; the message names them with both values.
    """
    now, then = _flatten(config.model_dump(mode="json")), _flatten(saved)
    different = [
        key
        for key in sorted(now.keys() | then.keys())
        if now.get(key) != then.get(key) and not key.startswith(_FREE)
    ]
    if different:
        # Keys of one side only follow from another source or model, which is named itself.
        named = [key for key in different if key in now and key in then] or different
        listed = "; ".join(
            f"{key}: {_said(then, key)} then, {_said(now, key)} now" for key in named
        )
        raise CheckpointError(
            f"run {config.run.name!r} was started with other settings: {listed}. "
            "Give this run another run.name, or the settings it began with"
        )


def _said(flat: dict[str, Any], key: str) -> str:
    return repr(flat[key]) if key in flat else "no setting"


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
