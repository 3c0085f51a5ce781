"""Who may come in: tokens by their hashes, rates by token, and how many at a time."""

import hashlib
import hmac
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address

from pydantic import ValidationError

from ocr_model.config import explain
from ocr_model.errors import ConfigError

from .limits import AccessConfig, TokenConfig
from .problems import Problem

_SECONDS_PER_MINUTE = 60
_ANYONE = "anyone"


@dataclass
class _Bucket:
    """A rate limit: each request takes a token of its bucket, which fills up with time."""

    per_second: float
    capacity: int
    clock: Callable[[], float]
    level: float = field(init=False)
    last: float = field(init=False)

    def __post_init__(self) -> None:
        self.level, self.last = float(self.capacity), self.clock()

    def seconds_until_free(self) -> float:
        """Take one and return 0, or return how long there is none."""
        now = self.clock()
        self.level = min(self.capacity, self.level + (now - self.last) * self.per_second)
        self.last = now
        if self.level >= 1:
            self.level -= 1
            return 0.0
        return (1 - self.level) / self.per_second


class TokenGuard:
    """Tells callers by their bearer tokens."""

    def __init__(
        self,
        config: AccessConfig,
        host: str,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Learn the tokens.

        Args:
            config: Who may use the service.
            host: That the proxies listen on.
            environment: Where more tokens may be.
            clock: Seconds.

        Raises:
            ConfigError: Tokens are needed and there are none, or some are unneeded or wrong.
        """
        self._tokens = [*config.tokens, *_tokens_of(config, environment)]
        self._is_open = config.required == "never"
        self.is_needed = config.required == "always" or (
            config.required == "auto" and (not _is_loopback(host) or bool(self._tokens))
        )
        if self.is_needed and not self._tokens:
            raise ConfigError(
                f"the service listens on {host} and no caller has a token: add access.tokens or "
                f"set {config.tokens_variable}; access.required=never opens it to everybody"
            )
        if self._tokens and not self.is_needed:
            raise ConfigError("access.tokens have no effect with access.required=never")
        self._buckets = {
            token.name: _Bucket(token.requests_per_minute / _SECONDS_PER_MINUTE, token.burst, clock)
            for token in self._tokens
            if token.requests_per_minute
        }

    def identify(self, authorization: str | None, *, on_all_interfaces: bool = False) -> str:
        """Return the caller's name; `on_all_interfaces` is where loopback is not meant.

        Raises:
            Problem: 401, there is no token or a wrong one.
        """
        if not self.is_needed and (self._is_open or not on_all_interfaces):
            return _ANYONE
        scheme, _, given = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise _unauthorized("send a token: Authorization: Bearer TOKEN", "Bearer")
        name = self._name_of(given.strip())
        if name is None:
            raise _unauthorized("the token is not known", 'Bearer error="invalid_token"')
        return name

    def count(self, caller: str) -> None:
        """Count a request of a caller who is known.

        Raises:
            Problem: 429, the token is used up.
        """
        bucket = self._buckets.get(caller)
        seconds = bucket.seconds_until_free() if bucket else 0.0
        if seconds:
            detail = f"{caller} may send another request in {seconds:.1f} s"
            raise _too_many("rate-limited", detail, math.ceil(seconds))

    def _name_of(self, given: str) -> str | None:
        """Compare with every token, so that the time taken does not say which was near."""
        digest = hashlib.sha256(given.encode()).hexdigest()
        found = None
        for token in self._tokens:
            if hmac.compare_digest(digest, token.sha256):
                found = token.name
        return found


class Admission:
    """Counts the requests under way and refuses what is beyond a number."""

    def __init__(self, most: int, retry_after_seconds: int) -> None:
        self._most, self._retry_after_seconds = most, retry_after_seconds
        self.num_under_way = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place.

        Raises:
            Problem: 429, there is none.
        """
        if self.num_under_way >= self._most:
            detail = f"{self._most} requests are under way"
            raise _too_many("overloaded", detail, self._retry_after_seconds)
        self.num_under_way += 1
        try:
            yield
        finally:
            self.num_under_way -= 1


def _tokens_of(config: AccessConfig, environment: Mapping[str, str]) -> Iterator[TokenConfig]:
    for number, entry in enumerate(environment.get(config.tokens_variable, "").split(), 1):
        name, _, rest = entry.partition(":")
        sha256, _, rate = rest.partition(":")
        values = {"name": name, "sha256": sha256, **({"requests_per_minute": rate} if rate else {})}
        try:
            yield TokenConfig.model_validate(values)
        except ValidationError as error:  # without the entry itself, which may be a secret
            faults = "; ".join(line.partition(", got")[0] for line in explain(TokenConfig, error))
            raise ConfigError(f"{config.tokens_variable}, entry {number}: {faults}") from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unauthorized(detail: str, challenge: str) -> Problem:
    status = HTTPStatus.UNAUTHORIZED
    return Problem(status, "unauthorized", "A token is needed", detail, WWW_Authenticate=challenge)


def _too_many(kind: str, detail: str, retry_after_seconds: int) -> Problem:
    status, title = HTTPStatus.TOO_MANY_REQUESTS, "Too many requests"
    return Problem(status, kind, title, detail, Retry_After=str(retry_after_seconds))
