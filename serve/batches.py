"""Whole buckets, read by a Ray job: submitted here, asked for here."""

import asyncio
import logging
import shlex
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from ray.job_submission import JobDetails, JobSubmissionClient

from ocr_model.commands import settings_of_command
from ocr_model.errors import OCRError
from ocr_model.inference.bulk.places import open_place
from ocr_model.inference.bulk.progress import BatchProgress, read_progress

from .limits import BatchesConfig
from .pools import run_in
from .problems import Problem
from .protocol import BatchAnswer, BatchBody

_ROOT = Path(__file__).parents[1]
_JOB = _ROOT / "jobs" / "batch_ocr.py"
_PREFIX = "ocr-batch-"
_LAST_CHARS = 2000  # of a job's log
_JOB_SECONDS = "10"  # until it is worth while to ask again
_ANSWER_SECONDS = 20.0  # of Ray's job server and a bucket together
_THREADS = 2  # that these may hold for long; pages are written by others

logger = logging.getLogger("ray.serve")

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Batches:
    """Submits `jobs/batch_ocr.py` and tells how far it is."""

    config: BatchesConfig

    async def submit(self, body: BatchBody, caller: str) -> BatchAnswer:
        """Start a job.

        Raises:
            Problem: A prefix is not among those that are allowed, too many jobs are under way, or
                Ray takes none.
        """
        _require_allowed("input", body.input, self.config.inputs)
        _require_allowed("output", body.output, self.config.outputs)
        settings = {
            "input": body.input,
            "input_kind": "files",  # a list would name what is not below the prefix
            "output": body.output,
            "mode": body.mode,
            "pool.max_readers": self.config.max_readers,
        }
        command = [sys.executable, str(_JOB), "--set", *settings_of_command(settings)]
        number = _PREFIX + uuid.uuid4().hex
        async with self._submitting:
            await self._start(
                number, shlex.join(command), {"caller": caller, "output": body.output}
            )
        return BatchAnswer(id=number, status="pending", message="", progress=None, log="")

    async def _start(self, number: str, command: str, metadata: dict[str, str]) -> None:
        jobs = await self._ask(number, lambda client: client.list_jobs())
        if sum(map(_is_under_way, jobs)) >= self.config.max_jobs:
            status, title = HTTPStatus.TOO_MANY_REQUESTS, "Too many batches"
            detail = f"{self.config.max_jobs} batches are under way"
            raise Problem(status, "too-many-batches", title, detail, Retry_After=_JOB_SECONDS)
        await self._ask(
            number,
            lambda client: client.submit_job(
                entrypoint=command,
                submission_id=number,
                runtime_env={"env_vars": {"PYTHONPATH": str(_ROOT)}},
                metadata=metadata,
            ),
        )

    async def tell(self, number: str) -> BatchAnswer:
        """Tell how far a job is.

        Raises:
            Problem: There is no such job, or Ray or the output's bucket does not answer in time.
        """
        if not number.startswith(_PREFIX):
            raise _no_such_batch(number)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await self._tell(number)
        except TimeoutError as error:
            detail = f"Ray's job server or the output did not answer in {_ANSWER_SECONDS:g} s"
            raise _no_job_server(detail) from error

    async def _tell(self, number: str) -> BatchAnswer:
        info = await self._ask(number, lambda client: client.get_job_info(number))
        log = await self._ask(number, lambda client: client.get_job_logs(number))
        output = (info.metadata or {}).get("output", "")
        return BatchAnswer(
            id=number,
            status=str(info.status.value).lower(),
            message=(info.message or "").partition("\n")[0],  # then the log again
            progress=await run_in(self._threads, _progress, output) if output else None,
            log=log[-_LAST_CHARS:],
        )

    @cached_property
    def _submitting(self) -> asyncio.Lock:
        """Held from counting jobs to starting one."""
        return asyncio.Lock()

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(_THREADS, "batches")

    @cached_property
    def _client(self) -> JobSubmissionClient:
        return JobSubmissionClient(self.config.address)

    async def _ask(self, number: str, ask: Callable[[JobSubmissionClient], Answer]) -> Answer:
        """Call Ray's client."""
        try:
            return await run_in(self._threads, lambda: ask(self._client))
        except (RuntimeError, ConnectionError) as error:  # all that Ray's client raises
            if "does not exist" in str(error):
                raise _no_such_batch(number) from error
            logger.exception("Ray's job server")
            raise _no_job_server("Ray's job server did not take it; the log says more") from error


def _is_under_way(job: JobDetails) -> bool:
    return (job.submission_id or "").startswith(_PREFIX) and not job.status.is_terminal()


def _require_allowed(name: str, address: str, prefixes: tuple[str, ...]) -> None:
    """Refuse what is not below a prefix; `..`, also as `%2e%2e`, would lead out of it."""
    is_below = any(address.startswith(prefix) for prefix in prefixes)
    is_plain = address.isprintable() and "%" not in address and "\\" not in address
    if not is_below or not is_plain or ".." in address.split("/"):
        known = ", ".join(prefixes) or "none"
        detail = f"{name}={address} is not below an allowed prefix ({known})"
        raise Problem(HTTPStatus.FORBIDDEN, "not-allowed", "The prefix is not allowed", detail)


def _progress(output: str) -> BatchProgress | None:
    try:
        return read_progress(open_place(output))
    except (OCRError, ValueError, KeyError, TypeError) as error:  # not ours, or of something else
        logger.warning("the output of a batch: %s", error)
        return None


def _no_job_server(detail: str) -> Problem:
    status, title = HTTPStatus.SERVICE_UNAVAILABLE, "No jobs can be submitted"
    return Problem(status, "no-job-server", title, detail, Retry_After=_JOB_SECONDS)


def _no_such_batch(number: str) -> Problem:
    detail = f"there is no batch {number!r}"
    return Problem(HTTPStatus.NOT_FOUND, "unknown-batch", "There is no such batch", detail)
