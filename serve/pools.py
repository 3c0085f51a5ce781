"""Threads beside the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")


async def run_in(
    pool: Executor, function: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> Result:
    """Run what blocks in a thread of this pool.

    `asyncio.to_thread` has five for a whole replica, Ray's: what blocks for long would hold health
    checks up, and Ray ends a replica that does not answer them.
    """
    call = partial(function, *args, **kwargs)
    context = copy_context()  # Ray finds there which request a call is of
    return await asyncio.get_running_loop().run_in_executor(pool, lambda: context.run(call))
