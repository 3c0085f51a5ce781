"""What HTTP and gRPC stand on, and the reading of a document, which both offer."""

import asyncio
from dataclasses import dataclass
from typing import TypeVar

from .batches import Batches
from .formats import PageWriter
from .guards import Admission, TokenGuard
from .limits import LimitsConfig
from .messages import Fault, PageOptions
from .metrics import RequestMetrics
from .problems import Problem, problem_of, problem_of_image
from .protocol import PageFormat
from .readiness import Readiness
from .remote import Pages, Words
from .uploads import require_document

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Backend:
    """The parts of one replica of the ingress."""

    words: Words
    pages: Pages
    readiness: Readiness
    writer: PageWriter
    limits: LimitsConfig
    batches: Batches
    tokens: TokenGuard
    admission: Admission
    metrics: RequestMetrics

    async def read_document(
        self, document: bytes, options: PageOptions, output: PageFormat
    ) -> bytes:
        """Read a picture or a PDF, and write its pages.

        Raises:
            Problem: It cannot be read, or not in `limits.max_seconds`.
        """
        require_document(document)
        try:
            async with asyncio.timeout(self.limits.max_seconds):
                pages = self.accepted(await self.pages.read(document, options))
                if len(pages) == 1 and pages[0].error:
                    raise problem_of_image(pages[0].error)
                return await self.writer.write(output, pages, document, options)
        except TimeoutError as error:
            detail = f"there was no answer in {self.limits.max_seconds:g} s"
            raise self.problem(Fault("timeout", detail)) from error

    def accepted(self, answer: Answer | Fault) -> Answer:
        """Return what is no fault.

        Raises:
            Problem: It is one.
        """
        if isinstance(answer, Fault):
            raise self.problem(answer)
        return answer

    def problem(self, fault: Fault) -> Problem:
        """Return what a fault is to the caller."""
        return problem_of(fault, self.limits.retry_after_seconds)
