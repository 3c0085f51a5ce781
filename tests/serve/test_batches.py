import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ray.job_submission import JobDetails, JobStatus, JobType

from ocr_model.inference.bulk.progress import BatchProgress
from serve.batches import Batches
from serve.limits import BatchesConfig
from serve.problems import Problem
from serve.protocol import BatchAnswer, BatchBody

Picture = Callable[..., bytes]
ALLOWED = BatchesConfig(inputs=("s3://scans/",), outputs=("s3://texts/",))
RAY_WITH_JOBS = """
import sys
from ray.cluster_utils import Cluster
settings = {
    "num_cpus": 2, "object_store_memory": 200_000_000, "include_dashboard": True,
    "dashboard_port": 0,
    "dashboard_agent_listen_port": 0,  # another Ray's agent may have the usual one
}
cluster = Cluster(initialize_head=True, head_node_args=settings)
print(f"http://{cluster.webui_url}", flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture(scope="module")
def job_server() -> Iterator[str]:
    """Address of the job server of a Ray in a process of its own: that of other tests has none."""
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-c", RAY_WITH_JOBS]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as started:
        assert started.stdout is not None
        yield started.stdout.readline().strip()
        started.communicate()  # which closes its input: it ends


@pytest.mark.parametrize(
    ("config", "given", "written"),
    [
        (BatchesConfig(), "s3://scans/a", "s3://texts/a"),
        (ALLOWED, "s3://scans-of-others/a", "s3://texts/a"),
        (ALLOWED, "s3://scans/../secrets", "s3://texts/a"),
        (ALLOWED, "http://169.254.169.254/", "s3://texts/a"),
        (ALLOWED, "s3://scans/a", "/etc"),
    ],
)
def test_a_bucket_that_is_not_allowed_is_not_read(
    config: BatchesConfig, given: str, written: str
) -> None:
    body = BatchBody(input=given, output=written)
    with pytest.raises(Problem) as caught:
        asyncio.run(Batches(config).submit(body, "alice"))
    assert caught.value.status == HTTPStatus.FORBIDDEN


class _JobServer:
    """Takes its time, as one over HTTP does."""

    def __init__(self) -> None:
        self.started: list[JobDetails] = []

    def list_jobs(self) -> list[JobDetails]:
        time.sleep(0.01)
        return list(self.started)

    def submit_job(self, *, submission_id: str, entrypoint: str, **_: object) -> None:
        time.sleep(0.01)
        self.started.append(
            JobDetails(
                type=JobType.SUBMISSION,
                submission_id=submission_id,
                entrypoint=entrypoint,
                status=JobStatus.RUNNING,
            )
        )

    def get_job_info(self, number: str) -> JobDetails:
        return next(job for job in self.started if job.submission_id == number)

    def get_job_logs(self, number: str) -> str:
        return number


def test_those_who_ask_at_once_start_no_more_jobs_than_may_be_under_way(tmp_path: Path) -> None:
    server = _JobServer()
    allowed = (f"{tmp_path}/",)
    batches = Batches(BatchesConfig(inputs=allowed, outputs=allowed, max_jobs=2))
    vars(batches)["_client"] = server
    body = BatchBody(input=f"{tmp_path}/in", output=f"{tmp_path}/out")

    async def ask() -> list[BatchAnswer | BaseException]:
        asked = (batches.submit(body, "alice") for _ in range(5))
        return await asyncio.gather(*asked, return_exceptions=True)

    refused = [answer for answer in asyncio.run(ask()) if isinstance(answer, Problem)]
    assert [problem.status for problem in refused] == [HTTPStatus.TOO_MANY_REQUESTS] * 3
    assert len(server.started) == 2


def test_jobs_of_others_are_not_told_of() -> None:
    with pytest.raises(Problem) as caught:
        asyncio.run(Batches(ALLOWED).tell("raysubmit_1"))
    assert caught.value.status == HTTPStatus.NOT_FOUND


def test_a_prefix_ends_where_a_folder_does() -> None:
    with pytest.raises(ValueError, match="ends with '/'"):
        BatchesConfig(inputs=("s3://scans",))


def test_a_folder_is_read_by_a_job_that_tells_how_far_it_is(
    job_server: str,
    word_picture: Picture,
    tmp_path: Path,
    wait_until: Callable[..., float],
) -> None:
    scans, texts = tmp_path / "scans", tmp_path / "texts"
    scans.mkdir()
    (scans / "word.png").write_bytes(word_picture("Hotel"))
    (scans / "broken.png").write_bytes(b"no picture")
    batches = Batches(
        BatchesConfig(inputs=(f"{tmp_path}/",), outputs=(f"{tmp_path}/",), address=job_server)
    )

    def run(source: Path) -> BatchAnswer:
        body = BatchBody(input=str(source), output=str(texts), mode="words")
        answers: list[BatchAnswer] = []

        def has_ended() -> bool:
            if answers:
                answers.append(asyncio.run(batches.tell(answers[0].id)))
            else:
                with suppress(Problem):  # a 503 while Ray's agent is starting
                    answers.append(asyncio.run(batches.submit(body, "alice")))
            return bool(answers) and answers[-1].status in ("succeeded", "failed")

        wait_until(has_ended)
        return answers[-1]

    succeeded = run(scans)
    assert succeeded.status == "succeeded", succeeded.log
    assert succeeded.progress == BatchProgress(done=2, total=2, errors=1)
    rows = {Path(row["uri"]).name: row for row in pq.read_table(texts / "rows").to_pylist()}
    assert rows["word.png"]["text"] == "Hotel"
    assert rows["broken.png"]["error"].startswith("not_an_image")
    failed = run(tmp_path / "none")
    assert failed.status == "failed"
    assert "none" in failed.log


def test_a_batch_that_is_not_there_is_a_problem(job_server: str) -> None:
    batches = Batches(BatchesConfig(address=job_server))
    with pytest.raises(Problem) as caught:
        asyncio.run(batches.tell("ocr-batch-0"))
    assert caught.value.status == HTTPStatus.NOT_FOUND


def test_a_bucket_that_does_not_answer_holds_nobody_else_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_answer = threading.Event()
    monkeypatch.setattr("serve.batches._ANSWER_SECONDS", 0.1)
    monkeypatch.setattr("serve.batches._progress", lambda output: may_answer.wait())
    details = JobDetails(
        type=JobType.SUBMISSION,
        entrypoint="",
        status=JobStatus.RUNNING,
        submission_id="ocr-batch-0",
        metadata={"output": "s3://slow/"},
    )
    server, batches = _JobServer(), Batches(BatchesConfig())
    server.started.append(details)
    vars(batches)["_client"] = server

    async def ask() -> list[BaseException | BatchAnswer]:
        asked = [batches.tell("ocr-batch-0") for _ in range(20)]
        refused = await asyncio.gather(*asked, return_exceptions=True)
        assert await asyncio.to_thread(lambda: True)  # where pages are written
        may_answer.set()
        return refused

    statuses = {answer.status for answer in asyncio.run(ask()) if isinstance(answer, Problem)}
    assert statuses == {HTTPStatus.SERVICE_UNAVAILABLE}


def test_no_job_server_is_a_problem_that_passes() -> None:
    batches = Batches(BatchesConfig(address="http://127.0.0.1:9"))
    with pytest.raises(Problem) as caught:
        asyncio.run(batches.tell("ocr-batch-0"))
    assert caught.value.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert caught.value.headers["Retry-After"] == "10"
