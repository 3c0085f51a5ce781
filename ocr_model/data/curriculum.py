"""Named schedules of what is learned when: short words and easy pictures first.

Pure functions of the epoch, so a resumed run needs no state of theirs.
"""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from ocr_model.config import Config


class Curriculum(Config):
    """Base of the schedules: every word at full difficulty."""

    def longest(self, epoch: int, num_epochs: int, max_chars: int) -> int:
        """Return the largest number of characters of an epoch's labels."""
        return max_chars

    def strength(self, epoch: int, num_epochs: int) -> float:
        """Return the share of the full strength of all distortions, in `[0, 1]`."""
        return 1.0


class AllAtOnce(Curriculum):
    """No curriculum."""

    name: Literal["all_at_once"] = "all_at_once"


class _Gradual(Curriculum):
    share: float = Field(0.3, gt=0, le=1)
    """Share of the epochs after which nothing is left out or weakened."""

    def _risen(self, epoch: int, num_epochs: int) -> float:
        return min(1.0, epoch / max(1.0, self.share * num_epochs))


class _Shortened(_Gradual):
    start_chars: PositiveInt = 4
    """Longest label of the first epoch, in characters."""

    def longest(self, epoch: int, num_epochs: int, max_chars: int) -> int:
        """Return the largest number of characters of an epoch's labels."""
        rise = self._risen(epoch, num_epochs) * (max_chars - self.start_chars)
        return self.start_chars + int(rise)


class _Eased(_Gradual):
    start_strength: float = Field(0.2, ge=0, lt=1)
    """Share of the full strength of distortions in the first epoch."""

    def strength(self, epoch: int, num_epochs: int) -> float:
        """Return the share of the full strength of all distortions, in `[0, 1]`."""
        risen = self._risen(epoch, num_epochs)
        return self.start_strength + risen * (1 - self.start_strength)


class ShortFirst(_Shortened):
    """Short labels first; the longest allowed rises linearly by epoch.

    An epoch keeps its number of samples: while long words are left out the others come again,
    distorted otherwise.
    """

    name: Literal["short_first"]


class EasyFirst(_Eased):
    """Easy pictures first: distortions, and the difficulty of rendered words, rise by epoch."""

    name: Literal["easy_first"]


class ShortAndEasyFirst(_Shortened, _Eased):
    """Both: short labels and easy pictures first."""

    name: Literal["short_and_easy_first"]


CurriculumConfig = Annotated[
    AllAtOnce | ShortFirst | EasyFirst | ShortAndEasyFirst, Field(discriminator="name")
]
