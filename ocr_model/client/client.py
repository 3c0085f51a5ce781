"""`Client` and `AsyncClient`: the service's verbs as methods."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import httpx2
from tenacity import AsyncRetrying, Retrying, retry_if_exception, stop_after_attempt

from ocr_model.client.exchange import (
    Format,
    WordReading,
    checked,
    connection_settings,
    is_passing,
    to_pages,
    to_words,
    unanswered,
    wait_seconds,
    word_files,
)
from ocr_model.inference.pages import Page

_ATTEMPTS, _TIMEOUT_SECONDS = 5, 150.0


class Client:
    """A service's client; to be closed, or used in a `with` statement.

    What is refused for the moment (429, 503), or not answered, is tried again, as reading changes
    nothing; the service's Retry-After is respected. All else raises `ServiceError`.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        *,
        token: str | None = None,
        attempts: int = _ATTEMPTS,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        """Open connections as they are needed."""
        self._http = httpx2.Client(**connection_settings(address, token, timeout_seconds))
        self._retrying = Retrying(
            retry=retry_if_exception(is_passing),
            wait=wait_seconds,
            stop=stop_after_attempt(attempts),
            reraise=True,
        )

    def read_words(self, images: Sequence[bytes], **parameters: object) -> list[WordReading]:
        """Read encoded pictures of words; `parameters` are those of `/v1/recognize`."""
        return to_words(self._post("/v1/recognize", parameters, files=word_files(images)))

    def read_document(self, document: bytes, **parameters: object) -> list[Page]:
        """Read a picture or a PDF; `parameters` are those of `/v1/ocr`."""
        return to_pages(self._post("/v1/ocr", parameters, content=document))

    def convert(self, document: bytes, to: Format, **parameters: object) -> bytes:
        """Read a picture or a PDF and return it in a format."""
        return self._post("/v1/ocr", {**parameters, "format": to}, content=document).content

    def models(self) -> dict[str, Any]:
        """Return the models that can be asked for."""
        answer: dict[str, Any] = self._retrying(self._send, "GET", "/v1/models").json()
        return answer

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _post(self, path: str, parameters: dict[str, Any], **body: Any) -> httpx2.Response:  # noqa: ANN401  # httpx2's own
        return self._retrying(self._send, "POST", path, params=parameters, **body)

    def _send(self, method: str, path: str, **request: Any) -> httpx2.Response:  # noqa: ANN401
        try:
            return checked(self._http.request(method, path, **request))
        except httpx2.TransportError as error:
            raise unanswered(error) from error


class AsyncClient:
    """`Client` for asyncio."""

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        *,
        token: str | None = None,
        attempts: int = _ATTEMPTS,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        """Open connections as they are needed."""
        self._http = httpx2.AsyncClient(**connection_settings(address, token, timeout_seconds))
        self._retrying = AsyncRetrying(
            retry=retry_if_exception(is_passing),
            wait=wait_seconds,
            stop=stop_after_attempt(attempts),
            reraise=True,
        )

    async def read_words(self, images: Sequence[bytes], **parameters: object) -> list[WordReading]:
        """Read as `Client.read_words`."""
        return to_words(await self._post("/v1/recognize", parameters, files=word_files(images)))

    async def read_document(self, document: bytes, **parameters: object) -> list[Page]:
        """Read as `Client.read_document`."""
        return to_pages(await self._post("/v1/ocr", parameters, content=document))

    async def convert(self, document: bytes, to: Format, **parameters: object) -> bytes:
        """Read as `Client.convert`."""
        answer = await self._post("/v1/ocr", {**parameters, "format": to}, content=document)
        return answer.content

    async def models(self) -> dict[str, Any]:
        """Return the models that can be asked for."""
        response: httpx2.Response = await self._retrying(self._send, "GET", "/v1/models")
        answer: dict[str, Any] = response.json()
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _post(self, path: str, parameters: dict[str, Any], **body: Any) -> httpx2.Response:  # noqa: ANN401  # httpx2's own
        return await self._retrying(self._send, "POST", path, params=parameters, **body)

    async def _send(self, method: str, path: str, **request: Any) -> httpx2.Response:  # noqa: ANN401
        try:
            return checked(await self._http.request(method, path, **request))
        except httpx2.TransportError as error:
            raise unanswered(error) from error
