"""The images of a run that could not be read: listed, counted by reason, bounded."""

import json
from collections import Counter

from ocr_model.errors import DatasetError
from ocr_model.training.run_folder import RunFolder
from ocr_model.training.worker import Worker

LIST_FILE = "unreadable_images.jsonl"


def count_by_reason(reasons: dict[str, str]) -> dict[str, int]:
    """Count images by the word before the colon of their reason, the most frequent first."""
    counts = Counter(why.partition(":")[0] for why in reasons.values())
    return dict(counts.most_common())


def check_unreadable(
    reasons: dict[str, str],
    worker: Worker,
    folder: RunFolder,
    *,
    num_unreadable: float,
    num_seen: float,
    allowed: float,
) -> None:
    """Exchange and write the list of unreadable images; fail where there are too many.

    Args:
        reasons: By key, of this rank's images; those of the other ranks are added.
        worker: This rank.
        folder: The run's.
        num_unreadable: Of one epoch, on all ranks.
        num_seen: Images of that epoch, on all ranks.
        allowed: Share of them that may be unreadable.

    Raises:
        DatasetError: There are more; on all ranks.
    """
    if not num_unreadable:
        return
    for found in worker.gather(reasons):
        reasons.update(found)
    if worker.rank == 0:
        lines = [json.dumps({"key": key, "reason": why}) + "\n" for key, why in reasons.items()]
        folder.write(LIST_FILE, "".join(lines).encode())
    if num_unreadable > allowed * num_seen:
        counts = ", ".join(f"{n} {reason}" for reason, n in count_by_reason(reasons).items())
        listed = "; ".join(f"{key}: {why}" for key, why in list(reasons.items())[:5])
        raise DatasetError(
            f"{num_unreadable:.0f} of {num_seen:.0f} images could not be read, more than "
            f"training.max_unreadable={allowed}: {listed}. By reason: {counts}. All are in "
            f"{LIST_FILE}"
        )
