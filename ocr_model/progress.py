"""A job on the terminal: a bar while it works, beside the lines that a log file gets too."""

from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)

ConsoleT = TypeVar("ConsoleT", bound="ProgressConsole")


class ProgressConsole:
    """A console with a bar that is there within a `with` block; in a log file there is none."""

    def __init__(self, console: Console, description: str, column: ProgressColumn) -> None:
        """Make the bar.

        Args:
            console: Where lines and bar go.
            description: What stands before the bar at first.
            column: What stands behind the time.
        """
        self.console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            column,
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task(description, total=None)

    def __enter__(self: ConsoleT) -> ConsoleT:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()
