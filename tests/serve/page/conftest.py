"""A real browser on the real service."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

Picture = Callable[..., bytes]
Open = Callable[..., Page]

_LONG_MILLISECONDS = 120_000  # a page of words on a busy machine
_DESK = {"viewport": {"width": 1280, "height": 900}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium")
    assert path, "chromium is missing: apt-get install chromium, as .ci/run does"
    with sync_playwright() as playwright:
        # No sandbox: containers run as root, and nothing is opened but our own page.
        launched = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def open_page(
    browser: Browser, address: str, wait_until: Callable[..., float], tokens: dict[str, str]
) -> Iterator[Open]:
    """Return a function of a token and of what the browser is like: the page, opened.

    At the end no request may have left the service, and nothing may have failed in the page.
    """
    contexts: list[BrowserContext] = []
    visited: list[str] = []
    failures: list[str] = []

    def watch(page: Page) -> None:
        page.set_default_timeout(_LONG_MILLISECONDS)
        page.on("request", lambda request: visited.append(request.url))
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", lambda message: failures.append(message.text))

    def opened(token: str = tokens["tests"], **options: Any) -> Page:  # noqa: ANN401  # playwright's
        context = browser.new_context(**(_DESK | options))
        contexts.append(context)
        page = context.new_page()
        watch(page)
        wait_until(lambda: bool(page.request.get(f"{address}/readyz").ok))
        page.goto(f"{address}/")
        page.evaluate("token => sessionStorage.setItem('ocr-token', token)", token)
        page.reload()
        return page

    yield opened
    for context in contexts:
        context.close()
    allowed = (f"{address}/", f"blob:{address}/")
    assert [url for url in visited if not url.startswith(allowed)] == []
    # Chromium tells of each answer that is an error; all others are faults, such as of the policy.
    assert [text for text in failures if not text.startswith("Failed to load resource: ")] == []


@pytest.fixture
def scan(page_picture: Picture, tmp_path: Path) -> Path:
    """A picture of a page of two lines."""
    path = tmp_path / "scan.png"
    path.write_bytes(page_picture("HOTEL Paris", "Room 1805"))
    return path
