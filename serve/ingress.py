"""The ingress: what Ray Serve runs in front of the two other deployments."""

from typing import Any

from ray.serve.context import _get_global_client
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from .api import Backend, create_app
from .batches import Batches
from .guards import TokenGuard
from .limits import AccessConfig, BatchesConfig, LimitsConfig
from .metrics import RequestMetrics
from .remote import Pages, Words


class Ingress:
    """A plain class; `serve.ingress()` makes a deployment of it."""

    def __init__(
        self,
        limits: LimitsConfig,
        access: AccessConfig,
        batches: BatchesConfig,
        calls_under_way: int,
        words: DeploymentHandle[Any],
        pages: DeploymentHandle[Any],
    ) -> None:
        """Connect the interface with the deployments.

        Raises:
            ConfigError: Tokens are needed where this listens, and there are none.
        """
        self._backend = Backend(
            words=Words(words, calls_under_way, limits.max_seconds),
            pages=Pages(pages, limits.max_seconds),
            limits=limits,
            tokens=TokenGuard(access, _host()),
            batches=Batches(batches),
            metrics=RequestMetrics(),
        )

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Ray Serve's hook: what answers requests."""
        return create_app(self._backend)


def _host() -> str:
    """Return where the proxies listen; Ray tells it nowhere in public."""
    client = _get_global_client()
    assert client is not None, "a replica is connected"
    return str(client.http_config.host)
