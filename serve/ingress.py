"""The ingress: what Ray Serve runs in front of the two other deployments."""

from typing import Any

from ray.serve.context import _get_global_client
from ray.serve.grpc_util import RayServegRPCContext
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from ocr_model.inference.documents import DocumentConfig

from . import ocr_pb2
from .api import create_app
from .backend import Backend
from .batches import Batches
from .formats import PageWriter
from .guards import Admission, TokenGuard
from .limits import AccessConfig, BatchesConfig, LimitsConfig
from .metrics import RequestMetrics
from .readiness import Readiness, are_running
from .remote import Pages, Words
from .rpc import Verbs


class Ingress:
    """A plain class; `serve.ingress()` makes a deployment of it."""

    def __init__(
        self,
        limits: LimitsConfig,
        access: AccessConfig,
        batches: BatchesConfig,
        documents: DocumentConfig,
        calls_under_way: int,
        words: DeploymentHandle[Any],
        pages: DeploymentHandle[Any],
    ) -> None:
        """Connect the interface with the deployments.

        Raises:
            ConfigError: Tokens are needed where this listens, and there are none.
        """
        words_part = Words(words, calls_under_way, limits)
        pages_part = Pages(pages, limits.max_seconds)
        self._backend = Backend(
            words=words_part,
            pages=pages_part,
            readiness=Readiness(words_part, pages_part, are_running),
            writer=PageWriter(documents, limits),
            limits=limits,
            tokens=TokenGuard(access, _host()),
            admission=Admission(limits.max_requests, limits.retry_after_seconds),
            batches=Batches(batches),
            metrics=RequestMetrics(words_part.num_waiting),
        )

        self._verbs = Verbs(self._backend)

    async def Recognize(  # noqa: N802  # as ocr.proto has it
        self, request: ocr_pb2.RecognizeRequest, grpc_context: RayServegRPCContext
    ) -> ocr_pb2.RecognizeReply:
        """Read pictures of words, over gRPC."""
        return await self._verbs.recognize(request, grpc_context)

    async def Read(  # noqa: N802  # the same
        self, request: ocr_pb2.ReadRequest, grpc_context: RayServegRPCContext
    ) -> ocr_pb2.ReadReply:
        """Read a picture or a PDF, over gRPC."""
        return await self._verbs.read(request, grpc_context)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Ray Serve's hook: what answers requests."""
        return create_app(self._backend)


def _host() -> str:
    """Return where the proxies listen; Ray tells it nowhere in public."""
    client = _get_global_client()
    assert client is not None, "a replica is connected"
    return str(client.http_config.host)
