"""The HTTP interface: a FastAPI application over the two deployments."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.staticfiles import StaticFiles
from starlette.middleware import Middleware
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from .backend import Backend
from .formats import media_type
from .messages import Fault, PageOptions, WordJob, WordOptions
from .middleware import Gate
from .problems import MEDIA_TYPE as PROBLEM_TYPE
from .problems import answer_with_problems, problem_of_image
from .protocol import (
    AttentionAnswer,
    AttentionQuery,
    BatchAnswer,
    BatchBody,
    HealthAnswer,
    ImagesBody,
    ModelsAnswer,
    OcrQuery,
    ProblemDocument,
    RecognizeAnswer,
    RecognizeQuery,
)
from .streaming import MEDIA_TYPE as NDJSON
from .streaming import stream_documents
from .uploads import read_uploads, read_word_images

_PAGE_FOLDER = Path(__file__).parent / "page"
_STREAMED_AT_A_TIME = 4
_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _form(most: int | None) -> dict[str, Any]:
    files = {"type": "array", "minItems": 1, "items": _BINARY["schema"]}
    if most is not None:
        files["maxItems"] = most
    return {"schema": {"type": "object", "required": ["file"], "properties": {"file": files}}}


_PICTURE_BODY = {
    "application/octet-stream": _BINARY,
    "image/*": _BINARY,
    "multipart/form-data": _form(1),
}
_DOCUMENT_BODY = {
    **_PICTURE_BODY,
    "application/pdf": _BINARY,
    "multipart/form-data": _form(None),
}
_WORDS_BODY = {
    **_PICTURE_BODY,
    "multipart/form-data": _form(None),
    "application/json": {"schema": ImagesBody.model_json_schema()},
}
_ANSWERS_OF_OCR: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The pages, as `docs/page.schema.json` says, or in the format asked for.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/plain": {},
            "text/html": {},
            "application/xml": {},
            "application/pdf": {},
            NDJSON: {},
        },
    }
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {
        "model": ProblemDocument,
        "description": description,
        "content": {PROBLEM_TYPE: {}},
    }
    for code, description in {
        401: "No token, or an unknown one.",
        403: "A batch's prefix that is not allowed.",
        404: "No such model, or no such batch.",
        408: "The body came too slowly.",
        413: "A limit of size.",
        415: "Neither picture nor PDF.",
        422: "A parameter or an image is wrong.",
        429: "Too many requests; see Retry-After.",
        503: "A replica has just ended; see Retry-After.",
        504: "It took too long.",
    }.items()
}


def create_app(backend: Backend) -> FastAPI:
    """Build the application."""
    api = _Api(backend)
    app = FastAPI(
        title="OCR on Ray",
        version="1",
        summary="Reads the text of images and PDFs.",
        docs_url=None,  # its page would load scripts of another host
        redoc_url=None,
        openapi_url="/openapi.json",
        middleware=[
            Middleware(
                Gate,
                tokens=backend.tokens,
                admission=backend.admission,
                limits=backend.limits,
                metrics=backend.metrics,
                routes={route.path for route in api.router.routes if isinstance(route, Route)},
            )
        ],
    )
    answer_with_problems(app)
    app.include_router(api.router)
    # Files have a path of their own: mounted at `/` they made 404 of a wrong method's 405.
    app.add_route("/", _page, include_in_schema=False)
    app.mount("/page", StaticFiles(directory=_PAGE_FOLDER), name="page")
    return app


class _Api:
    """The routes."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._words, self._pages, self._limits = backend.words, backend.pages, backend.limits
        self._batches = backend.batches
        self.router = APIRouter()
        self._add("POST", "/v1/ocr", self.ocr, _DOCUMENT_BODY, _ANSWERS_OF_OCR)
        self._add("POST", "/v1/recognize", self.recognize, _WORDS_BODY)
        self._add("POST", "/v1/attention", self.attention, _PICTURE_BODY)
        self._add("GET", "/v1/models", self.models)
        self._add("POST", "/v1/batches", self.submit_batch, status_code=HTTPStatus.ACCEPTED)
        self._add("GET", "/v1/batches/{number}", self.batch)
        self._add("GET", "/healthz", self.healthz)
        self._add("GET", "/readyz", self.readyz)

    def _add(
        self,
        method: str,
        path: str,
        endpoint: Callable[..., Any],
        body: dict[str, Any] | None = None,
        answers: dict[int | str, dict[str, Any]] | None = None,
        status_code: HTTPStatus = HTTPStatus.OK,
    ) -> None:
        extra = {} if body is None else {"requestBody": {"required": True, "content": body}}
        self.router.add_api_route(
            path,
            endpoint,
            methods=[method],
            status_code=status_code,
            responses={**_PROBLEMS, **(answers or {})},
            openapi_extra=extra,
        )

    async def ocr(self, request: Request, query: Annotated[OcrQuery, Query()]) -> Response:
        """Read an image or a PDF: the raw body, or the file of a form.

        With `Accept: application/x-ndjson`, a form may have many files; a line of JSON for each
        comes as soon as it is done.
        """
        options = query.page_options()
        if NDJSON in request.headers.get("accept", ""):
            return await self._stream(request, query.format, options)
        (upload,) = await read_uploads(request, 1)
        content = await self._backend.read_document(upload.data, options, query.format)
        return Response(content, media_type=media_type(query.format))

    async def recognize(
        self, request: Request, query: Annotated[RecognizeQuery, Query()]
    ) -> RecognizeAnswer:
        """Read pictures of words: one as the raw body, many as files of a form or base64 in JSON.

        Of several, one that cannot be read has an `error` of its own.
        """
        images = await read_word_images(request, self._limits.max_words)
        job = WordJob(images, query.word_options())
        readings = self._backend.accepted(await self._words.read(job))
        if len(readings) == 1 and readings[0].error:
            raise problem_of_image(readings[0].error)
        return RecognizeAnswer(words=readings)

    async def attention(
        self, request: Request, query: Annotated[AttentionQuery, Query()]
    ) -> AttentionAnswer:
        """Read one upright word, and say where each of its characters was seen."""
        (upload,) = await read_uploads(request, 1)
        options = WordOptions(query.model, query.characters)
        return self._backend.accepted(await self._words.attend(upload.data, options))

    async def models(self) -> ModelsAnswer:
        """List the recognisers that can be asked for by name."""
        return self._backend.accepted(await self._words.describe())

    async def submit_batch(self, request: Request, body: BatchBody) -> BatchAnswer:
        """Read a whole folder or bucket by a job of its own."""
        return await self._batches.submit(body, str(request.scope["ocr.caller"]))

    async def batch(self, number: str) -> BatchAnswer:
        """Tell how far a batch is."""
        return await self._batches.tell(number)

    async def healthz(self) -> HealthAnswer:
        """Say that this process answers."""
        return HealthAnswer()

    async def readyz(self) -> HealthAnswer:
        """Say that words and pages can be read, also while much waits; else 503, and soon."""
        fault = await self._backend.readiness.fault()
        if fault is not None:
            raise self._backend.problem(fault)
        return HealthAnswer()

    async def _stream(self, request: Request, name: str, options: PageOptions) -> Response:
        if name != "json":
            detail = f"a stream is of JSON, format={name} is not"
            raise self._backend.problem(Fault("bad_setting", detail))
        uploads = await read_uploads(request, self._limits.max_files)
        lines = stream_documents(
            uploads,
            partial(self._pages.read, options=options),
            _STREAMED_AT_A_TIME,
            self._limits.retry_after_seconds,
        )
        return StreamingResponse(lines, media_type=NDJSON)


async def _page(request: Request) -> Response:
    return FileResponse(_PAGE_FOLDER / "index.html")
