"""gRPC in and out of the same verbs and guards that HTTP has."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import grpc
from pydantic import ValidationError
from ray.serve.grpc_util import RayServegRPCContext

from ocr_model.errors import OCRError

from . import ocr_pb2
from .account import Account
from .backend import Backend
from .formats import media_type
from .messages import Reading, WordJob
from .problems import Problem, bad_parameter, internal_problem, too_large
from .protocol import OcrQuery, RecognizeQuery

_CODES = {
    HTTPStatus.UNAUTHORIZED: grpc.StatusCode.UNAUTHENTICATED,
    HTTPStatus.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.TOO_MANY_REQUESTS: grpc.StatusCode.RESOURCE_EXHAUSTED,
    HTTPStatus.SERVICE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    HTTPStatus.INTERNAL_SERVER_ERROR: grpc.StatusCode.INTERNAL,
}
_SERVICE = "/ocr.OCR/"
_Request = ocr_pb2.RecognizeRequest | ocr_pb2.ReadRequest

logger = logging.getLogger("ray.serve")


class Verbs:
    """What the servicer of `ocr.proto` does."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def recognize(
        self, request: ocr_pb2.RecognizeRequest, context: RayServegRPCContext
    ) -> ocr_pb2.RecognizeReply:
        """Read pictures of words."""
        limits = self._backend.limits
        with self._guarded("Recognize", request, context):
            query = RecognizeQuery.model_validate(
                _options(request.options) | _given(request, "orientations")
            )
            if not 0 < len(request.images) <= limits.max_words:
                detail = f"{len(request.images)} images, from 1 to {limits.max_words} in a request"
                raise Problem(HTTPStatus.BAD_REQUEST, "number-of-images", "Images", detail)
            job = WordJob(list(request.images), query.word_options())
            readings = self._backend.accepted(await self._backend.words.read(job))
            return ocr_pb2.RecognizeReply(words=[_word(reading) for reading in readings])

    async def read(
        self, request: ocr_pb2.ReadRequest, context: RayServegRPCContext
    ) -> ocr_pb2.ReadReply:
        """Read a picture or a PDF."""
        with self._guarded("Read", request, context):
            query = OcrQuery.model_validate(
                _options(request.options) | _given(request, "format", "orientation", "pages")
            )
            content = await self._backend.read_document(
                request.document, query.page_options(), query.format
            )
            return ocr_pb2.ReadReply(content=content, media_type=media_type(query.format))

    @contextmanager
    def _guarded(
        self, verb: str, request: _Request, context: RayServegRPCContext
    ) -> Iterator[None]:
        """Let known callers in, as many as there are places, and tell errors as gRPC does.

        Ray's gRPC proxies listen on all interfaces, whatever HTTP's do. Ray Serve takes the code
        that was set when an exception comes.
        """
        account, backend = Account(_SERVICE + verb), self._backend
        try:
            self._admit(request, context, account)
            with backend.admission.place():
                backend.metrics.begin(backend.admission.num_under_way)
                yield
            account.status = HTTPStatus.OK
        except Problem as problem:
            raise _told(context, account, problem) from None
        except ValidationError as error:
            raise _told(context, account, bad_parameter(error)) from None
        except Exception:  # a border: whatever it is, the caller gets no traceback
            logger.exception("request")
            raise _told(context, account, internal_problem()) from None
        finally:
            account.close(backend.metrics, backend.admission.num_under_way)

    def _admit(self, request: _Request, context: RayServegRPCContext, account: Account) -> None:
        given = dict(context.invocation_metadata()).get("authorization")
        account.caller = self._backend.tokens.identify(given, on_all_interfaces=True)
        self._backend.tokens.count(account.caller)
        if request.ByteSize() > self._backend.limits.max_body_bytes:
            raise too_large(self._backend.limits)


def _told(context: RayServegRPCContext, account: Account, problem: Problem) -> OCRError:
    """Tell the caller, and return what can be pickled, as a problem cannot."""
    account.status, account.problem = problem.status, problem.kind
    context.set_code(_CODES.get(problem.status, grpc.StatusCode.INVALID_ARGUMENT))
    context.set_details(f"{problem.kind}: {problem.detail}")
    return OCRError(str(problem))


def _options(given: ocr_pb2.WordOptions) -> dict[str, Any]:
    options: dict[str, Any] = {"model": given.model, "lexicon": list(given.lexicon)}
    for name in ("characters", "lexicon_bonus", "language"):
        if given.HasField(name):
            options[name] = getattr(given, name)
    return options


def _given(request: _Request, *names: str) -> dict[str, str]:
    """Return the texts of a request that are not empty; others have HTTP's defaults."""
    return {name: text for name in names if (text := getattr(request, name))}


def _word(reading: Reading) -> ocr_pb2.Word:
    return ocr_pb2.Word(
        text=reading.text,
        confidence=reading.confidence,
        char_confidences=reading.char_confidences,
        rotation=reading.rotation,
        error=reading.error,
    )
