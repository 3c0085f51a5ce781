"""Requests whose replica of the ingress ended: Ray's proxy has no answer for them, this has.

`controller_options` of `deploy.yaml` name `middlewares` to the proxies, which import it; so this
package must be on their `PYTHONPATH`, as it is where `serve run` is started in the repository.
"""

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .messages import REPLICA_GONE
from .problems import problem_of

_RETRY_AFTER_SECONDS = 1
_REQUEST_ID = "X-Request-ID"


class UnansweredRequests:
    """ASGI middleware of Ray's proxy, which else leaves them to uvicorn's bare 500.

    Whatever goes wrong in the ingress itself, the ingress answers; so silence is that of a replica
    that has ended. An answer that had begun breaks off.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Stand before `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what the proxy leaves unanswered."""
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        await self._app(scope, receive, watched)
        if scope["type"] == "http" and not has_begun:
            problem = problem_of(REPLICA_GONE, _RETRY_AFTER_SECONDS)
            problem.headers[_REQUEST_ID] = Headers(scope=scope).get(_REQUEST_ID, "")
            await problem.response()(scope, receive, send)


def middlewares() -> list[Middleware]:
    """Return what `RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH` asks for."""
    return [Middleware(UnansweredRequests)]
