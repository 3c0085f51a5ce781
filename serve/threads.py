"""How many threads a batch computes with: more where it has the machine for itself."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ocr_model.devices import num_cores


class ThreadsAlone:
    """Gives what is computed alone more threads than others have.

    Ray lets a process have as many as its `num_cpus`, mostly one, as others compute beside it.
    """

    def __init__(self, most: int) -> None:
        """Give up to so many, of the CPUs that there are."""
        self._usual = torch.get_num_threads()
        self._alone = max(self._usual, min(most, num_cores()))
        self._lock, self._num_within = threading.Lock(), 0

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Count what is within as under way."""
        with self._lock:
            self._num_within += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_within -= 1

    @property
    def number(self) -> int:
        """How many one that is under way may have now."""
        return self._alone if self._num_within == 1 else self._usual


def use_threads(number: int) -> None:
    """Let what this thread of Python computes next have so many."""
    if torch.get_num_threads() != number:
        torch.set_num_threads(number)
