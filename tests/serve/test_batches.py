import asyncio
from http import HTTPStatus

import pytest

from serve.batches import Batches
from serve.limits import BatchesConfig
from serve.problems import Problem
from serve.protocol import BatchBody

ALLOWED = BatchesConfig(inputs=("s3://scans/",), outputs=("s3://texts/",))


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


def test_jobs_of_others_are_not_told_of() -> None:
    with pytest.raises(Problem) as caught:
        asyncio.run(Batches(ALLOWED).tell("raysubmit_1"))
    assert caught.value.status == HTTPStatus.NOT_FOUND


def test_a_prefix_ends_where_a_folder_does() -> None:
    with pytest.raises(ValueError, match="ends with '/'"):
        BatchesConfig(inputs=("s3://scans",))
