"""Shards as Ray tasks: what is there is kept, what is missing is made."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ray
import ray.exceptions

from ocr_model.data.reports import SubsetReport
from ocr_model.errors import ClusterError, DatasetError, OCRError
from ocr_model.making.card import DatasetCard, write_card
from ocr_model.making.config import MakeDatasetConfig
from ocr_model.making.plan import Plan, Shard, make_plan, store_plan
from ocr_model.making.shards import find_accounts, make_shard, open_output
from ocr_model.ray_session import require_lasting

Report = Callable[[dict[str, Any]], None]

_MAX_LOSSES = 5  # of one shard's worker or node, before the run gives up


def begin(config: MakeDatasetConfig) -> Plan:
    """Write the plan, or check it against that of a begun dataset; needs no cluster.

    Raises:
        DatasetError: The source is missing, or the output cannot be written to or holds something
            else.
        ConfigError: A setting has no effect.
    """
    require_lasting("output", config.output)
    plan = make_plan(config)
    folder = open_output(config)  # behind what may fail: no empty folder is left
    store_plan(plan, folder)
    # Absolute, as workers may be anywhere.
    return replace(plan, config=config.replace(output=folder.address))


def make_dataset(plan: Plan, report: Report = lambda _: None) -> DatasetCard:
    """Make what is missing of a dataset on the connected cluster, then its card.

    Args:
        plan: From `begin`. The same settings with the same output go on where it stopped.
        report: Called with `plan` once, and `shard` for each that was made.

    Raises:
        DatasetError: The source is damaged, a part of it has no usable row, or a shard could not be
            written.
        ClusterError: Workers were lost again and again.
    """
    folder = open_output(plan.config)
    accounts, faults = find_accounts(plan, folder)
    missing = [shard for shard in plan.shards if shard.name not in accounts]
    report(
        {
            "event": "plan",
            "output": folder.address,
            "rows": {subset: plan.num_rows(subset) for subset in plan.config.subsets},
            "shards": len(plan.shards),
            "shards_there": len(accounts),
            "rows_there": sum(account.num_seen for account in accounts.values()),
            "faults": faults,
        }
    )
    if missing:
        _make(missing, plan, report)
        accounts, faults = find_accounts(plan, folder)
    if len(accounts) < len(plan.shards):
        lacking = [shard.name for shard in plan.shards if shard.name not in accounts]
        raise DatasetError(
            f"{len(lacking)} shards were made but are not in {folder.address}: {lacking[:3]} "
            f"{faults or ''}. Does something else write to it? The same command makes them again"
        )
    return write_card(plan, accounts, folder)


def _make(shards: list[Shard], plan: Plan, report: Report) -> None:
    config = ray.put(plan.config)
    task: Any = ray.remote(num_cpus=1, max_retries=_MAX_LOSSES)(make_shard).remote
    waiting, running = deque(shards), dict[Any, Shard]()
    try:
        while waiting or running:
            cpus = int(ray.cluster_resources().get("CPU", 0))
            while waiting and len(running) < (plan.config.max_tasks or 2 * max(1, cpus)):
                shard = waiting.popleft()
                running[task(shard, config, plan.digest)] = shard
            done, _ = ray.wait(list(running))
            for future in done:
                account = _result(future, running[future], len(waiting) + len(running))
                shard = running.pop(future)
                dropped = dict(account.dropped)
                report({"event": "shard", "name": shard.name, "rows": shard.num_rows,
                        "kept": account.num_kept, "dropped": dropped})  # fmt: skip
    finally:
        for future in running:
            ray.cancel(future)


def _result(future: Any, shard: Shard, num_left: int) -> SubsetReport:  # noqa: ANN401  # ray's own
    try:
        account: SubsetReport = ray.get(future)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, OCRError):  # without the worker's traceback
            raise error.cause from error
        raise
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"{shard.name} could not be made, {num_left} shards are left; the same command goes "
            f"on. {error}"
        ) from error
    return account
