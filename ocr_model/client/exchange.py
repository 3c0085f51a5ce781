"""What goes to the service and what comes back, whether one waits for it or not."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

import httpx2
from tenacity import RetryCallState

from ocr_model.errors import OCRError
from ocr_model.inference.outputs.page_json import read_json
from ocr_model.inference.pages import Page

Format = Literal["json", "text", "hocr", "alto", "pdf"]
Parameter = str | float | bool | Sequence[str]
"""Of a request's query; several texts are one parameter that is repeated."""

_PASSING = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_NO_DOCUMENT = "no-problem-document"
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.5, 30.0


@dataclass(frozen=True, slots=True)
class WordReading:
    """The reading of one word image."""

    text: str
    confidence: float
    """Probability that the whole text is right, in [0, 1]."""
    char_confidences: tuple[float, ...]
    rotation: int
    """Degrees clockwise by which the image was turned to be read."""
    error: str
    """Why there is no reading; empty where there is one."""


class ServiceError(OCRError):
    """The service refused a request, or did not answer."""

    def __init__(self, status: int, kind: str, detail: str, retry_after: float | None) -> None:
        super().__init__(f"{status} {kind}: {detail}" if status else f"{kind}: {detail}")
        self.status = status
        """Of HTTP; 0 where there was no answer."""
        self.kind = kind
        """Such as `rate-limited`: a short name to tell them apart by."""
        self.detail = detail
        self.retry_after = retry_after
        """Seconds that the service asks to wait."""

    @property
    def is_passing(self) -> bool:
        """Whether the same request may succeed later."""
        is_of_proxy = self.status >= 500 and self.kind == _NO_DOCUMENT  # the ingress has ended
        return not self.status or self.status in _PASSING or is_of_proxy


def connection_settings(address: str, token: str | None, timeout_seconds: float) -> dict[str, Any]:
    """Return what a client of either kind is made with."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    timeout = httpx2.Timeout(timeout_seconds, connect=min(5.0, timeout_seconds))
    return {"base_url": address, "headers": headers, "timeout": timeout}


def word_files(images: Sequence[bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    """Return a form of word images."""
    return [("file", (str(number), image)) for number, image in enumerate(images)]


def checked(response: httpx2.Response) -> httpx2.Response:
    """Return an answer that is one.

    Raises:
        ServiceError: It is a problem.
    """
    if response.is_success:
        return response
    try:
        problem = response.json()
        kind, detail = str(problem["type"]).rpartition(":")[2], str(problem["detail"])
    except (ValueError, KeyError, TypeError):  # of a proxy in between
        kind, detail = _NO_DOCUMENT, response.text[:200]
    seconds = response.headers.get("retry-after", "")
    retry_after = float(seconds) if seconds.isdecimal() else None
    raise ServiceError(response.status_code, kind, detail, retry_after)


def unanswered(error: httpx2.TransportError) -> ServiceError:
    """Return the error of a request without an answer."""
    address = error.request.url.join("/")
    return ServiceError(0, "no-answer", f"{address}: {type(error).__name__}: {error}", None)


def wait_seconds(state: RetryCallState) -> float:
    """Return how long to wait: as told, or twice as long each time, and never all at once."""
    error = state.outcome.exception() if state.outcome else None
    told = error.retry_after if isinstance(error, ServiceError) else None
    longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** (state.attempt_number - 1))
    return (told or 0.0) + random.uniform(0, longest)


def is_passing(error: BaseException) -> bool:
    """Return whether the same request may succeed later."""
    return isinstance(error, ServiceError) and error.is_passing


def to_words(response: httpx2.Response) -> list[WordReading]:
    """Return the readings of an answer."""
    return [
        WordReading(**{**word, "char_confidences": tuple(word["char_confidences"])})
        for word in response.json()["words"]
    ]


def to_pages(response: httpx2.Response) -> list[Page]:
    """Return the pages of an answer."""
    return read_json(response.content)
