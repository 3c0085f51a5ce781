"""Errors as problem documents (RFC 9457)."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from .limits import LimitsConfig
from .messages import Fault, FaultReason
from .protocol import ProblemDocument

MEDIA_TYPE = "application/problem+json"
_TYPE = "urn:ocr-on-ray:problem:"

_OF_FAULTS: Mapping[FaultReason, tuple[HTTPStatus, str]] = {
    "unknown_model": (HTTPStatus.NOT_FOUND, "There is no such model"),
    "bad_setting": (HTTPStatus.UNPROCESSABLE_ENTITY, "A parameter cannot be followed"),
    "no_attention": (HTTPStatus.UNPROCESSABLE_ENTITY, "The model gives no attention"),
    "bad_image": (HTTPStatus.UNPROCESSABLE_ENTITY, "The image cannot be read"),
    "overloaded": (HTTPStatus.TOO_MANY_REQUESTS, "Too many requests"),
    "unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, "A part of the service does not run"),
    "timeout": (HTTPStatus.GATEWAY_TIMEOUT, "It took too long"),
}
_OF_IMAGES = {  # by the reasons of `ImageError`
    "not_an_image": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}


class Problem(Exception):  # noqa: N818  # the RFC's own word
    """Ends a request with a problem document."""

    def __init__(
        self, status: HTTPStatus, kind: str, title: str, detail: str, **headers: str
    ) -> None:
        """Describe it; in `headers`, `_` stands for `-`."""
        super().__init__(f"{status.value} {kind}: {detail}")
        self.status, self.kind, self.title, self.detail = status, kind, title, detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def response(self) -> JSONResponse:
        """Return what the caller gets."""
        return JSONResponse(
            self.document().model_dump(), self.status, self.headers, media_type=MEDIA_TYPE
        )

    def document(self) -> ProblemDocument:
        """Return its body."""
        return ProblemDocument(
            type=_TYPE + self.kind, title=self.title, status=self.status, detail=self.detail
        )


def problem_of(fault: Fault, retry_after_seconds: int) -> Problem:
    """Return what a fault of a deployment is to the caller."""
    status, title = _OF_FAULTS[fault.reason]
    if fault.reason == "bad_image":
        return problem_of_image(fault.detail)
    is_passing = fault.reason in ("overloaded", "unavailable")
    headers = {"Retry_After": str(retry_after_seconds)} if is_passing else {}
    return Problem(status, fault.reason.replace("_", "-"), title, fault.detail, **headers)


def problem_of_image(error: str) -> Problem:
    """Return what is wrong with a picture, of which `error` says `reason: detail`."""
    reason, _, detail = error.partition(": ")
    status = _OF_IMAGES.get(reason, HTTPStatus.UNPROCESSABLE_ENTITY)
    return Problem(status, reason.replace("_", "-"), "The image cannot be read", detail or reason)


def faults_of(error: ValidationError | RequestValidationError) -> str:
    """Say in a line what is wrong and where."""
    return "; ".join(fault_lines(error))


def fault_lines(error: ValidationError | RequestValidationError) -> Iterator[str]:
    """Say of each fault where and what it is, without the values, which are the caller's."""
    for fault in error.errors():
        place = ".".join(map(str, fault["loc"]))
        what = str(fault["msg"]).removeprefix("Value error, ")
        yield f"{place}: {what}" if place else what


def bad_parameter(error: ValidationError | RequestValidationError) -> Problem:
    """Return what is wrong with the parameters of a request."""
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return Problem(status, "bad-parameter", "A parameter is wrong", faults_of(error))


def too_large(limits: LimitsConfig) -> Problem:
    """Return what is wrong with a body beyond its limit."""
    detail = f"a body has at most {limits.max_body_bytes / 1e6:g} MB"
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body-too-large", "The body is too large", detail
    )


def internal_problem() -> Problem:
    """Return what the caller is told of a fault of ours: nothing, but that the log has it."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    detail = "the fault is ours, and the log says more under this request's id"
    return Problem(status, "internal", status.phrase, detail)


def answer_with_problems(app: FastAPI) -> None:
    """Make the errors of an application problem documents."""
    app.add_exception_handler(Problem, _of_problem)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)


def _of_problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)
    request.scope["ocr.problem"] = error.kind
    return error.response()


def _of_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return _of_problem(request, bad_parameter(error))


def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    kind = status.phrase.lower().replace(" ", "-")
    headers = {name.replace("-", "_"): value for name, value in (error.headers or {}).items()}
    return _of_problem(request, Problem(status, kind, status.phrase, str(error.detail), **headers))
