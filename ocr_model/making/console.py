"""The making of a dataset on the terminal."""

import time
from collections import Counter
from typing import Any

from rich.console import Console
from rich.progress import TextColumn

from ocr_model.progress import ProgressConsole


class MakingConsole(ProgressConsole):
    """Shows the events of `make_dataset`; in a log file, the lines without the bar."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(highlight=False, soft_wrap=True)
        super().__init__(console, "planning", TextColumn("{task.fields[rate]}"))
        self._bar.update(self._task, rate="")
        self._total = self._there = self._made = 0
        self._dropped = Counter[str]()
        self._began = 0.0

    def report(self, event: dict[str, Any]) -> None:
        """Show one event."""
        match event["event"]:
            case "plan":
                self._show_plan(event)
            case "shard":
                self._made += event["rows"]
                self._dropped.update(event["dropped"])
                self._bar.update(self._task, completed=self._there + self._made, rate=self._rate())
            case _:
                raise AssertionError(event)

    def show_end(self) -> None:
        """Say how fast it went, where anything was made."""
        if self._made:
            seconds = time.monotonic() - self._began
            dropped = ", ".join(f"{n:,} {reason}" for reason, n in self._dropped.items())
            self.console.print(
                f"made {self._made:,} rows in {seconds:.0f} s, {self._made / seconds:.0f} images/s"
                + (f"; dropped: {dropped}" if dropped else "")
            )

    def _show_plan(self, event: dict[str, Any]) -> None:
        self._total, self._there = sum(event["rows"].values()), event["rows_there"]
        self._began = time.monotonic()
        rows = ", ".join(f"{name} {n:,}" for name, n in event["rows"].items())
        self.console.print(f"rows: {rows}; {event['shards']} shards in {event['output']}")
        if event["shards_there"]:
            self.console.print(f"{event['shards_there']} shards are there already")
        for name, why in event["faults"].items():
            self.console.print(f"{name} is made again: {why}")
        self._bar.update(self._task, description="images", total=self._total, completed=self._there)

    def _rate(self) -> str:
        rate = self._made / (time.monotonic() - self._began)
        left = (self._total - self._there - self._made) / rate
        return f"{rate:.0f} images/s, {left / 60:.0f} min left"
