import asyncio

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.unanswered import middlewares


async def _silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer nothing, as Ray's proxy does where a replica has ended."""


async def _hello(request: Request) -> Response:
    return PlainTextResponse("hello", 418)


def _answer(app: ASGIApp) -> httpx2.Response:
    (middleware,) = middlewares()

    async def get() -> httpx2.Response:
        transport = httpx2.ASGITransport(middleware.cls(app))
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/", headers={"X-Request-ID": "abc"})

    return asyncio.run(get())


def test_silence_becomes_a_problem_that_says_when_to_come_again() -> None:
    response = _answer(_silent)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"] == "urn:ocr-on-ray:problem:unavailable"
    assert response.headers["x-request-id"] == "abc"


def test_what_was_answered_is_left_as_it_is() -> None:
    response = _answer(Starlette(routes=[Route("/", _hello)]))
    assert (response.status_code, response.text) == (418, "hello")
