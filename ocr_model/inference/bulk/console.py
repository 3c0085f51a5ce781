"""`jobs/batch_ocr.py` on the terminal: a bar, and lines that a log file gets too."""

import threading
import time
from typing import Any

from rich.console import Console
from rich.progress import TextColumn

from ocr_model.inference.bulk.ledger import Counts
from ocr_model.inference.bulk.manifest import BatchResult, Manifest
from ocr_model.progress import ProgressConsole

_LINE_SECONDS = 30.0  # between two lines in a log file


class BatchConsole(ProgressConsole):
    """Shows the events of `read_batch`, which come from several threads."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
        super().__init__(console, "reading", TextColumn("{task.fields[rate]}"))
        self._bar.update(self._task, rate="")
        self._counts = Counts()
        self._planned = self._done = 0
        self._is_listed = False
        self._lock = threading.RLock()  # Ctrl-C reports from within a report
        self._began = self._shown = time.monotonic()

    def report(self, event: dict[str, Any]) -> None:
        """Show one event."""
        with self._lock:
            match event["event"]:
                case "planned":
                    self._planned += event["images"]
                    self._done += event["done"]
                case "listed":
                    self._is_listed = True
                    there = f", {self._done:,} of them read before" if self._done else ""
                    self.console.print(f"planned {self._planned:,} images{there}")
                case "unit":
                    self._counts.add(event["counts"])
                case "stopping":
                    self.console.print(
                        f"{event['reason']}: the units in flight are read to the end"
                    )
                case _:
                    raise AssertionError(event)
            self._show()

    def summarize(self, result: BatchResult, manifest: Manifest) -> None:
        """Print what was read, and how to go on."""
        print_ = self.console.print
        counts, totals = result.counts, result.totals
        print_(
            f"{result.reason}: {counts.images:,} images, {counts.pages:,} pages, "
            f"{counts.words:,} words in {result.seconds:.0f} s, "
            f"{result.images_per_second:.1f} images/s"
        )
        if result.num_ignored:
            print_(f"{result.num_ignored:,} objects were left out: no images by their names")
        for reason, number in counts.errors.most_common():
            print_(f"  {reason}: {number:,}")
        print_(f"output: {manifest.place.address} with {totals.images:,} images", markup=False)
        if not result.is_complete:
            print_("The same command goes on.")

    def _show(self) -> None:
        done = self._done + self._counts.images
        total = self._planned if self._is_listed else None
        state = self._state(done)
        self._bar.update(self._task, completed=done, total=total, rate=state)
        if not self.console.is_terminal and time.monotonic() - self._shown > _LINE_SECONDS:
            self._shown = time.monotonic()
            self.console.print(f"{done:,} of {self._planned:,} images; {state}")

    def _state(self, done: int) -> str:
        rate = self._counts.images / max(1e-9, time.monotonic() - self._began)
        parts = [f"{self._counts.words:,} words", f"{rate:.1f} images/s"]
        if self._counts.num_errors:
            parts.append(f"{self._counts.num_errors:,} errors")
        if self._is_listed and rate:
            parts.append(f"{max(0, self._planned - done) / rate / 60:.0f} min left")
        return ", ".join(parts)
