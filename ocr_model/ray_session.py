"""The Ray that an entry point works on: a cluster that it joins, or one of its own."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from ocr_model.errors import ClusterError, ConfigError

_SMALL_MACHINE_CPUS = 4  # logical; a train worker, a data task and Ray's own must fit at once
_OBJECT_STORE_BYTES = 300 * 2**20


@contextmanager
def connected(least_cpus: int = _SMALL_MACHINE_CPUS) -> Iterator[None]:
    """Join the cluster that this process belongs to, or start one on this machine.

    A cluster is joined where `RAY_ADDRESS` names it (`ray job submit` sets that); otherwise a
    local one is started, with at least `least_cpus` logical CPUs, and ended on exit.

    Raises:
        ClusterError: Ray did not start, or did not answer.
    """
    if ray.is_initialized():
        yield
        return
    try:
        _connect(least_cpus)
    except Exception as error:  # a border: where its processes do not start, Ray raises just that
        raise ClusterError(
            f"Ray did not start, or could not be joined: {' '.join(str(error).split())} "
            "Where the machine was only busy, the same command may succeed"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _connect(least_cpus: int) -> None:
    if os.environ.get("RAY_ADDRESS"):
        ray.init()
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # data tasks lower theirs themselves
    ray.init(
        address="local",
        num_cpus=max(least_cpus, os.cpu_count() or 1),
        object_store_memory=_OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def require_lasting(setting: str, address: str) -> None:
    """Refuse a folder that would vanish with the job.

    Raises:
        ConfigError: This is a submitted job and the path is relative.
    """
    is_job = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    is_lasting = "://" in address or Path(address).expanduser().is_absolute()
    if is_job and not is_lasting:
        raise ConfigError(
            f"{setting}={address} is relative to the copy of the working directory that Ray made "
            "for this job and deletes; give a folder that all nodes see, or a bucket"
        )
