"""Whether words and pages can be read: for probes, which may come often and from anybody."""

import asyncio
import time
from collections.abc import Callable

from ray import serve

from .messages import Fault
from .remote import Pages, Words

_SECONDS = 5.0  # probes do not wait for long
_KNOWN_SECONDS = 1.0
_BUSY = Fault("overloaded", "there was no answer in time")
_NOT_READY = Fault("unavailable", "the models are being loaded, or a replica has ended")


class Readiness:
    """Asks the other deployments, once at a time for all who want to know."""

    def __init__(self, words: Words, pages: Pages, are_running: Callable[[], bool]) -> None:
        """Ask these; `are_running` tells those that have too much to do from those that ended."""
        self._words, self._pages, self._are_running = words, pages, are_running
        self._asking: asyncio.Task[Fault | None] | None = None
        self._known_until = 0.0

    async def fault(self) -> Fault | None:
        """Return why they cannot be read, as it is now or was a second ago."""
        if self._asking is None or (self._asking.done() and time.monotonic() > self._known_until):
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> Fault | None:
        try:
            async with asyncio.timeout(_SECONDS):
                answers = (await self._words.describe(), await self._pages.is_ready())
        except TimeoutError:
            faults = [_BUSY]
        else:
            faults = [answer for answer in answers if isinstance(answer, Fault)]
        is_ready = all(fault.reason == "overloaded" for fault in faults) and (
            not faults or await asyncio.to_thread(self._are_running)
        )
        self._known_until = time.monotonic() + _KNOWN_SECONDS
        return None if is_ready else _NOT_READY


def are_running() -> bool:
    """Ask Ray Serve whether each deployment of this application has a replica that runs."""
    deployments = serve.status().applications[serve.get_replica_context().app_name].deployments
    return all(
        {"RUNNING", "UPDATING"} & set(deployment.replica_states)
        for deployment in deployments.values()
    )
