"""What every request passes: guards on the way in; headers, metrics and a log line going out."""

import asyncio
import logging
import time
from collections.abc import Set
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .account import OPEN, Account
from .guards import Admission, TokenGuard
from .limits import LimitsConfig
from .metrics import RequestMetrics
from .problems import Problem, internal_problem, too_large

_GUARDED = "/v1/"
_UNMATCHED = "unmatched"  # a path of the caller's own is no name of a series
_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}

logger = logging.getLogger("ray.serve")


class Gate:
    """ASGI middleware."""

    def __init__(
        self,
        app: ASGIApp,
        tokens: TokenGuard,
        admission: Admission,
        limits: LimitsConfig,
        metrics: RequestMetrics,
        routes: Set[str],
    ) -> None:
        """Stand before `app`, which has `routes`."""
        self._app, self._tokens, self._admission = app, tokens, admission
        self._limits, self._metrics, self._routes = limits, metrics, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self._limits)
        path = scope["path"]
        passage = _Passage(scope, send, body, path if path in self._routes else _UNMATCHED)
        try:
            self._admit(scope, passage.account)
            scope["ocr.caller"] = passage.account.caller
            with self._place(scope):
                self._metrics.begin(self._admission.num_under_way)
                await self._app(scope, body.receive, passage.send)
            if body.problem is not None:
                raise body.problem
        except Problem as problem:
            await passage.refuse(problem, receive)
        except ClientDisconnect:  # in the middle of the body
            pass
        except Exception:  # a border: whatever it is, the caller gets a problem document
            logger.exception("request")
            await passage.refuse(internal_problem(), receive)
        finally:
            self._finish(passage)

    def _admit(self, scope: Scope, account: Account) -> None:
        if not _is_guarded(scope):
            account.caller = OPEN
            return
        headers = Headers(scope=scope)
        account.caller = self._tokens.identify(headers.get("authorization"))
        self._tokens.count(account.caller)
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._limits.max_body_bytes:
            raise too_large(self._limits)

    def _place(self, scope: Scope) -> AbstractContextManager[None]:
        is_work = _is_guarded(scope) and scope["method"] == "POST"
        return self._admission.place() if is_work else nullcontext()

    def _finish(self, passage: "_Passage") -> None:
        account, scope = passage.account, passage.scope
        account.route = getattr(scope.get("route"), "path", "") or account.route
        account.problem = scope.get("ocr.problem", "")
        account.close(self._metrics, self._admission.num_under_way)


class _Passage:
    """One answer on its way out."""

    def __init__(self, scope: Scope, send: Send, body: "_Body", route: str) -> None:
        self.scope, self._send, self._body = scope, send, body
        self.account = Account(route)

    async def refuse(self, problem: Problem, receive: Receive) -> None:
        """End with a problem, unless the answer has begun."""
        self.scope["ocr.problem"], self._body.problem = problem.kind, None
        if not self.account.status:
            await problem.response()(self.scope, receive, self.send)

    async def send(self, message: Message) -> None:
        if self._body.problem is not None and not self.account.status:
            return  # FastAPI makes a 400 of whatever reading a body raises
        if message["type"] == "http.response.start":
            self.account.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            if _is_guarded(self.scope):
                headers.setdefault("Cache-Control", "no-store")
        await self._send(message)


class _Body:
    """A body on its way in, of bounded size and time."""

    def __init__(self, receive: Receive, limits: LimitsConfig) -> None:
        self._receive, self._limits = receive, limits
        self._deadline = time.monotonic() + limits.max_body_seconds
        self._num_bytes, self._is_whole = 0, False
        self.problem: Problem | None = None
        """What was wrong with it, until the caller is told."""

    async def receive(self) -> Message:
        try:
            return await self._receive_in_bounds()
        except Problem as problem:
            self.problem = problem
            raise

    async def _receive_in_bounds(self) -> Message:
        if self._is_whole:  # what follows is the caller's going away
            return await self._receive()
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            detail = f"the body did not come whole in {self._limits.max_body_seconds:g} s"
            status = HTTPStatus.REQUEST_TIMEOUT
            raise Problem(status, "slow-body", "The body is slow", detail) from None
        self._num_bytes += len(message.get("body", b""))
        if self._num_bytes > self._limits.max_body_bytes:
            raise too_large(self._limits)
        self._is_whole = not message.get("more_body", False)
        return message


def _is_guarded(scope: Scope) -> bool:
    """Say whether a token is asked for; a prefix before the route does not lead around it."""
    return _GUARDED in scope["path"]
