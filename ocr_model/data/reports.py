"""What became of the rows of a dataset: seen, kept, dropped and why."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class SubsetReport:
    """What became of the rows of a subset."""

    num_seen: int = 0
    num_kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Rows by reason."""
    characters: Counter[str] = field(default_factory=Counter)
    """Occurrences in the labels that are kept, as they are kept."""
    lengths: Counter[int] = field(default_factory=Counter)
    """Kept labels by number of characters."""

    def to_json(self) -> dict[str, Any]:
        """Return plain values, keys sorted."""
        return {
            "seen": self.num_seen,
            "kept": self.num_kept,
            "dropped": dict(sorted(self.dropped.items())),
            "characters": dict(sorted(self.characters.items())),
            "lengths": {str(length): n for length, n in sorted(self.lengths.items())},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "SubsetReport":
        """Undo `to_json`."""
        return cls(
            values["seen"],
            values["kept"],
            Counter(values["dropped"]),
            Counter(values["characters"]),
            Counter({int(length): n for length, n in values["lengths"].items()}),
        )

    def count(self, label: str) -> None:
        """Take in the label of a row that is kept."""
        self.num_kept += 1
        self.characters.update(label)
        self.lengths[len(label)] += 1

    def add(self, other: "SubsetReport") -> None:
        """Take in the rows of another part of the subset."""
        self.num_seen += other.num_seen
        self.num_kept += other.num_kept
        self.dropped.update(other.dropped)
        self.characters.update(other.characters)
        self.lengths.update(other.lengths)
