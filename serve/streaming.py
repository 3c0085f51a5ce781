"""Answers for many files, a line of JSON for each as soon as it is done (NDJSON)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from .formats import pages_as_json
from .messages import Fault, PagesAnswer
from .problems import problem_of, problem_of_image
from .protocol import StreamedDocument
from .uploads import Upload

MEDIA_TYPE = "application/x-ndjson"

ReadDocument = Callable[[bytes], Awaitable[PagesAnswer]]


async def stream_documents(
    uploads: Sequence[Upload], read: ReadDocument, at_a_time: int, retry_after_seconds: int
) -> AsyncIterator[bytes]:
    """Read files, several at a time; a file that cannot be read has a problem in its line.

    When the caller goes away, what is under way is cancelled.
    """
    places = asyncio.Semaphore(at_a_time)

    async def line(index: int, upload: Upload) -> StreamedDocument:
        async with places:
            answer = await read(upload.data)
        return _line(index, upload.name, answer, retry_after_seconds)

    tasks = [asyncio.create_task(line(index, upload)) for index, upload in enumerate(uploads)]
    try:
        for done in asyncio.as_completed(tasks):
            yield (await done).model_dump_json().encode() + b"\n"
    finally:
        for task in tasks:
            task.cancel()


def _line(index: int, name: str, answer: PagesAnswer, retry_after_seconds: int) -> StreamedDocument:
    if isinstance(answer, Fault):
        problem = problem_of(answer, retry_after_seconds).document()
        return StreamedDocument(index=index, name=name, problem=problem)
    if len(answer) == 1 and answer[0].error:
        problem = problem_of_image(answer[0].error).document()
        return StreamedDocument(index=index, name=name, problem=problem)
    return StreamedDocument(index=index, name=name, pages=pages_as_json(answer))
