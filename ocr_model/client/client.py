"""`Client` and `AsyncClient`: the service's verbs as methods."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Generic, TypeVar

import httpx2
from tenacity import AsyncRetrying, Retrying, retry_if_exception, stop_after_attempt

from ocr_model.client.exchange import (
    Format,
    Parameter,
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
from ocr_model.errors import ConfigError
from ocr_model.inference.pages import Page

Http = TypeVar("Http", httpx2.Client, httpx2.AsyncClient)
Retry = TypeVar("Retry", Retrying, AsyncRetrying)


class _Caller(Generic[Http, Retry]):
    """What both clients have in common: how they are made, and what they ask."""

    _http_kind: type[Http]
    _retry_kind: type[Retry]
    _http: Http
    _retrying: Retry

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        *,
        token: str | None = None,
        attempts: int = 5,
        timeout_seconds: float = 150.0,
    ) -> None:
        """Open connections as they are needed.

        Raises:
            ConfigError: The address or the token cannot be one.
        """
        if not address.startswith(("http://", "https://")):
            raise ConfigError(f"address={address} is none, expected such as http://127.0.0.1:8000")
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ConfigError("the token has characters that no header takes")
        try:
            self._http = self._http_kind(**connection_settings(address, token, timeout_seconds))
        except httpx2.InvalidURL as error:
            raise ConfigError(f"address={address} is none: {error}") from error
        self._retrying = self._retry_kind(
            retry=retry_if_exception(is_passing),
            wait=wait_seconds,
            stop=stop_after_attempt(attempts),
            reraise=True,
        )

    def _words(self, images: Sequence[bytes], parameters: dict[str, Parameter]) -> httpx2.Request:
        files = word_files(images)
        return self._http.build_request("POST", "/v1/recognize", params=parameters, files=files)

    def _document(self, document: bytes, parameters: dict[str, Parameter]) -> httpx2.Request:
        return self._http.build_request("POST", "/v1/ocr", params=parameters, content=document)

    def _models(self) -> httpx2.Request:
        return self._http.build_request("GET", "/v1/models")


class Client(_Caller[httpx2.Client, Retrying]):
    """A service's client; to be closed, or used in a `with` statement.

    What is refused for the moment (429, 503), or not answered, is tried again, as reading changes
    nothing; the service's Retry-After is respected. All else raises `ServiceError`.
    """

    _http_kind, _retry_kind = httpx2.Client, Retrying

    def read_words(self, images: Sequence[bytes], **parameters: Parameter) -> list[WordReading]:
        """Read encoded pictures of words; `parameters` are those of `/v1/recognize`."""
        return to_words(self._answer(self._words(images, parameters)))

    def read_document(self, document: bytes, **parameters: Parameter) -> list[Page]:
        """Read a picture or a PDF; `parameters` are those of `/v1/ocr`."""
        return to_pages(self._answer(self._document(document, parameters)))

    def convert(self, document: bytes, to: Format, **parameters: Parameter) -> bytes:
        """Read a picture or a PDF and return it in a format."""
        return self._answer(self._document(document, {**parameters, "format": to})).content

    def models(self) -> dict[str, Any]:
        """Return the models that can be asked for."""
        answer: dict[str, Any] = self._answer(self._models()).json()
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

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        return self._retrying(self._send, request)

    def _send(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return checked(self._http.send(request))
        except httpx2.TransportError as error:
            raise unanswered(error) from error


class AsyncClient(_Caller[httpx2.AsyncClient, AsyncRetrying]):
    """`Client` for asyncio."""

    _http_kind, _retry_kind = httpx2.AsyncClient, AsyncRetrying

    async def read_words(
        self, images: Sequence[bytes], **parameters: Parameter
    ) -> list[WordReading]:
        """Read as `Client.read_words`."""
        return to_words(await self._answer(self._words(images, parameters)))

    async def read_document(self, document: bytes, **parameters: Parameter) -> list[Page]:
        """Read as `Client.read_document`."""
        return to_pages(await self._answer(self._document(document, parameters)))

    async def convert(self, document: bytes, to: Format, **parameters: Parameter) -> bytes:
        """Read as `Client.convert`."""
        answer = await self._answer(self._document(document, {**parameters, "format": to}))
        return answer.content

    async def models(self) -> dict[str, Any]:
        """Return the models that can be asked for."""
        answer: dict[str, Any] = (await self._answer(self._models())).json()
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

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        return await self._retrying(self._send, request)

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        try:
            return checked(await self._http.send(request))
        except httpx2.TransportError as error:
            raise unanswered(error) from error
