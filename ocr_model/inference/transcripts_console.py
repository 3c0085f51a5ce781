"""`jobs/read.py` on the terminal: texts where they can be piped, all else beside them."""

import time

from rich.console import Console
from rich.progress import TimeRemainingColumn

from ocr_model.inference.transcripts import TranscribeConfig, Transcript, count_documents
from ocr_model.progress import ProgressConsole


class TranscriptConsole(ProgressConsole):
    """Prints texts on the standard output; faults, files and the sum on the error stream."""

    def __init__(self, config: TranscribeConfig) -> None:
        console = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
        super().__init__(console, "reading", TimeRemainingColumn())
        self._texts = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._num_documents = count_documents(config)
        self._began = time.monotonic()
        self._num_words = self.num_read = self._num_unread = 0

    def show(self, transcript: Transcript) -> None:
        """Print one document."""
        if self._num_documents > 1:
            self._texts.print(f"== {transcript.source}")
        for page in transcript.pages:
            place = f"{transcript.source}, page {page.number}"
            if page.error:
                self._num_unread += 1
                self.console.print(f"{place}: {page.error}", markup=False)
                continue
            self.num_read += 1
            self._num_words += len(page.words)
            for warning in page.warnings:
                self.console.print(f"{place}: {warning}", markup=False)
            self._texts.print(page.text)
        for path in transcript.files:
            self.console.print(f"written: {path}", markup=False)
        self._bar.update(self._task, advance=1, total=self._num_documents)

    def summarize(self) -> None:
        """Print what was read in all."""
        unread = f", {self._num_unread} could not be read" if self._num_unread else ""
        seconds = time.monotonic() - self._began
        self.console.print(
            f"{_count(self.num_read, 'page')}, {_count(self._num_words, 'word')} in {seconds:.1f} s"
            f"{unread}"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
