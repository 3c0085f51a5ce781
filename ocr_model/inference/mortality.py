"""How a child process dies of what it reads, without harm to others.

An alarm of the kernel ends a process that takes too long, in whatever code it hangs, and even when
nobody waits for it any more.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FIRST_TO_GO = "1000"


@contextmanager
def alarm(seconds: float) -> Iterator[Callable[[], None]]:
    """End this process by SIGALRM where what is within takes longer; the function starts anew."""

    def restart() -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)

    restart()
    try:
        yield restart
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def die_before_the_parent() -> None:
    """Let the kernel take this process, and not its parent, where memory runs out."""
    with suppress(OSError):  # not on every system
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")


def cause_of_death(code: int | None) -> str:
    """Name the signal of an exit code, or its status."""
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"status {code}"
