import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import psutil
import pytest

Picture = Callable[..., bytes]
Deploy = Callable[[dict[str, Any]], None]


class Load:
    """Clients that send words, and now and then a page, until they are told to stop."""

    def __init__(self, client: httpx2.Client, word: bytes, page: bytes) -> None:
        self._address, self._headers = client.base_url, client.headers
        self._word, self._page = word, page
        self._stop = threading.Event()
        self.responses: list[httpx2.Response] = []
        self.errors: list[Exception] = []

    def run(self, number: int) -> None:
        with httpx2.Client(base_url=self._address, headers=self._headers, timeout=200) as client:
            while not self._stop.is_set():
                path, body = (
                    ("/v1/ocr", self._page) if number == 0 else ("/v1/recognize", self._word)
                )
                try:
                    self.responses.append(client.post(path, content=body))
                except httpx2.TransportError as error:
                    self.errors.append(error)
                if self.responses and self.responses[-1].status_code == 503:
                    time.sleep(0.2)  # as Retry-After asks, but sooner

    def stop(self) -> None:
        self._stop.set()

    def count(self) -> Counter[int]:
        return Counter(response.status_code for response in self.responses)


@pytest.fixture
def load(client: httpx2.Client, word_picture: Picture, page_picture: Picture) -> Callable[[], Any]:
    """Return a context manager that keeps four clients busy."""

    @contextmanager
    def run() -> Iterator[Load]:
        running = Load(client, word_picture("Hotel"), page_picture("HOTEL"))
        threads = [threading.Thread(target=running.run, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        try:
            yield running
        finally:
            running.stop()
            for thread in threads:
                thread.join()

    return run


def _replica(deployment: str) -> psutil.Process:
    """Return the process of a deployment's replica, among those that this one started."""
    name = f"ServeReplica:ocr:{deployment}"
    (found,) = [
        process
        for process in psutil.Process().children(recursive=True)
        if name in " ".join(process.cmdline())
    ]
    return found


def test_a_change_of_model_under_load_drops_no_request(
    load: Callable[[], Any],
    client: httpx2.Client,
    deploy: Deploy,
    models: dict[str, Any],
    wait_until: Callable[..., float],
) -> None:
    def weights() -> str:
        return str(client.get("/v1/models").json()["models"][0]["weights_sha256"])

    former = weights()
    changed = {**models, "models": {"compact": {"bundle": "compact-synthetic"}}}
    with load() as running:
        wait_until(lambda: len(running.responses) > 8)
        pids = {name: _replica(name).pid for name in ("words", "pages", "ingress")}
        deploy(changed)
        wait_until(lambda: weights() != former)
        num_before = len(running.responses)
        wait_until(lambda: len(running.responses) > num_before + 8)
        deploy(models)
        wait_until(lambda: weights() == former)
    assert running.errors == []
    assert set(running.count()) == {200}, running.count()
    assert pids == {name: _replica(name).pid for name in pids}


def test_models_that_cannot_be_loaded_leave_those_that_are_there(
    load: Callable[[], Any],
    client: httpx2.Client,
    deploy: Deploy,
    models: dict[str, Any],
    wait_until: Callable[..., float],
) -> None:
    def refused() -> str:
        return str(client.get("/v1/models").json()["refused"])

    with load() as running:
        wait_until(lambda: len(running.responses) > 4)
        pid = _replica("words").pid
        deploy({**models, "models": {"compact": {"bundle": "/no/bundle"}}})
        wait_until(lambda: "/no/bundle" in refused())
        num_before = len(running.responses)
        wait_until(lambda: len(running.responses) > num_before + 8)
        deploy(models)
        wait_until(lambda: refused() == "")
    assert running.errors == []
    assert set(running.count()) == {200}, running.count()
    assert _replica("words").pid == pid


@pytest.mark.parametrize("deployment", ["words", "pages", "ingress"])
def test_a_killed_replica_is_replaced_and_only_its_own_requests_are_refused(
    deployment: str,
    load: Callable[[], Any],
    client: httpx2.Client,
    wait_until: Callable[..., float],
    record_property: Callable[[str, object], None],
) -> None:
    with load() as running:
        wait_until(lambda: running.count()[200] > 8)
        victim = _replica(deployment)
        os.kill(victim.pid, signal.SIGKILL)
        began = time.monotonic()
        wait_until(lambda: not psutil.pid_exists(victim.pid))
        wait_until(lambda: client.get("/readyz").status_code == 200)
        num_before = running.count()[200]
        wait_until(lambda: running.count()[200] > num_before + 8)
        record_property("recovery_seconds", time.monotonic() - began)
    refused = [response for response in running.responses if response.status_code != 200]
    record_property("refused", len(refused))
    assert len(refused) <= 4, "each client had one request there"
    for response in refused:
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["type"] == "urn:ocr-on-ray:problem:unavailable"
        assert response.headers["x-request-id"]
    assert running.errors == []
