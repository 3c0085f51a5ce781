import hashlib
from http import HTTPStatus

import pytest

from ocr_model.errors import ConfigError
from serve.guards import Admission, TokenGuard
from serve.limits import AccessConfig
from serve.problems import Problem

SECRET = "open sesame"
SHA256 = hashlib.sha256(SECRET.encode()).hexdigest()


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def _access(**token: object) -> AccessConfig:
    return AccessConfig.model_validate({"tokens": [{"name": "alice", "sha256": SHA256, **token}]})


def _refused(guard: TokenGuard, authorization: str | None) -> Problem:
    with pytest.raises(Problem) as caught:
        guard.count(guard.identify(authorization))
    return caught.value


def test_on_loopback_everybody_may_come_in() -> None:
    assert TokenGuard(AccessConfig(), "127.0.0.1", {}).identify(None) == "anyone"


def test_what_listens_on_all_interfaces_asks_for_a_token_all_the_same() -> None:
    with pytest.raises(Problem):
        TokenGuard(AccessConfig(), "127.0.0.1", {}).identify(None, on_all_interfaces=True)
    opened = TokenGuard(AccessConfig(required="never"), "127.0.0.1", {})
    assert opened.identify(None, on_all_interfaces=True) == "anyone"


def test_beyond_loopback_nothing_starts_without_tokens() -> None:
    with pytest.raises(ConfigError, match=r"listens on 0\.0\.0\.0 and no caller has a token"):
        TokenGuard(AccessConfig(), "0.0.0.0", {})  # nothing is opened
    opened = TokenGuard(AccessConfig(required="never"), "0.0.0.0", {})
    assert opened.identify(None) == "anyone"


@pytest.mark.parametrize("host", ["localhost.example.org", "::1234", "127.example.org", ""])
def test_what_only_begins_like_loopback_is_none(host: str) -> None:
    with pytest.raises(ConfigError, match="no caller has a token"):
        TokenGuard(AccessConfig(), host, {})


@pytest.mark.parametrize("host", ["localhost", "::1", "127.0.0.1", "127.1.2.3"])
def test_loopback_needs_no_token(host: str) -> None:
    assert not TokenGuard(AccessConfig(), host, {}).is_needed


def test_a_token_that_would_not_be_asked_for_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no effect"):
        TokenGuard(_access().replace(required="never"), "127.0.0.1", {})


def test_a_caller_is_known_by_the_token() -> None:
    guard = TokenGuard(_access(), "127.0.0.1", {})
    assert guard.identify(f"Bearer {SECRET}") == "alice"
    assert guard.identify(f"bearer  {SECRET} ") == "alice"


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic abc", "Bearer wrong", SECRET])
def test_no_token_and_a_wrong_one_are_unauthorized(authorization: str | None) -> None:
    problem = _refused(TokenGuard(_access(), "127.0.0.1", {}), authorization)
    assert problem.status == HTTPStatus.UNAUTHORIZED
    assert problem.headers["WWW-Authenticate"].startswith("Bearer")
    assert SECRET not in problem.detail


def test_a_used_up_token_says_when_to_come_again() -> None:
    clock = Clock()
    guard = TokenGuard(_access(requests_per_minute=6, burst=2), "127.0.0.1", {}, clock)
    for _ in range(2):
        guard.count("alice")
    problem = _refused(guard, f"Bearer {SECRET}")
    assert problem.status == HTTPStatus.TOO_MANY_REQUESTS
    assert problem.headers["Retry-After"] == "10"
    clock.seconds = 10
    guard.count("alice")
    _refused(guard, f"Bearer {SECRET}")


def test_tokens_may_be_in_the_environment() -> None:
    environment = {"OCR_TOKENS": f"bob:{SHA256} carol:{'0' * 64}:30"}
    guard = TokenGuard(AccessConfig(), "127.0.0.1", environment)
    assert guard.identify(f"Bearer {SECRET}") == "bob"


def test_a_token_in_place_of_its_hash_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="OCR_TOKENS, entry 1: sha256") as caught:
        TokenGuard(AccessConfig(), "127.0.0.1", {"OCR_TOKENS": "bob:hunter2"})
    assert "hunter2" not in str(caught.value)


def test_what_is_beyond_the_places_is_refused_at_once() -> None:
    admission = Admission(1, retry_after_seconds=3)
    with admission.place():
        with pytest.raises(Problem) as caught, admission.place():
            pass
        assert caught.value.status == HTTPStatus.TOO_MANY_REQUESTS
        assert caught.value.headers["Retry-After"] == "3"
    with admission.place():
        assert admission.num_under_way == 1
