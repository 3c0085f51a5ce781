import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from serve import readiness
from serve.messages import REPLICA_GONE, Fault
from serve.readiness import Readiness

OVERLOADED = Fault("overloaded", "")


class _Deployment:
    """Stands for both deployments; answers are given by `answer`."""

    def __init__(self, answer: Callable[[], Awaitable[object]]) -> None:
        self._answer, self.num_asked = answer, 0

    async def describe(self) -> None:
        return None

    async def is_ready(self) -> object:
        self.num_asked += 1
        return await self._answer()


def _fault(answer: object, *, are_running: bool) -> Fault | None:
    async def at_once() -> object:
        return answer

    async def ask() -> Fault | None:
        both = cast("Any", _Deployment(at_once))
        return await Readiness(both, both, lambda: are_running).fault()

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("answer", "are_running", "is_ready"),
    [
        (True, False, True),
        (REPLICA_GONE, True, False),
        (OVERLOADED, True, True),
        (OVERLOADED, False, False),
    ],
)
def test_a_part_that_is_busy_is_ready_and_one_that_ended_is_not(
    answer: object, are_running: bool, is_ready: bool
) -> None:
    fault = _fault(answer, are_running=are_running)
    assert (fault is None) == is_ready
    assert fault is None or fault.reason == "unavailable"


@pytest.mark.parametrize("are_running", [True, False])
def test_a_part_that_does_not_answer_in_time_is_ready_if_its_replicas_run(
    are_running: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "_SECONDS", 0.05)

    async def ask() -> Fault | None:
        both = cast("Any", _Deployment(asyncio.Event().wait))
        return await Readiness(both, both, lambda: are_running).fault()

    assert (asyncio.run(ask()) is None) == are_running


def test_many_probes_at_once_ask_once() -> None:
    async def ask() -> int:
        may_answer = asyncio.Event()
        deployment = _Deployment(may_answer.wait)
        both = cast("Any", deployment)
        probe = Readiness(both, both, lambda: True)
        asked = [asyncio.create_task(probe.fault()) for _ in range(100)]
        await asyncio.sleep(0)
        asked[0].cancel()  # one who goes away takes nothing from the others
        may_answer.set()
        answers = await asyncio.gather(*asked[1:])
        assert answers == [None] * 99
        await probe.fault()
        return deployment.num_asked

    assert asyncio.run(ask()) == 1
