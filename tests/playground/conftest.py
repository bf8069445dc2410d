"""A browser, and a sandbox for it to look at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from fixtures.browsers import FLAGS, executable
from fixtures.playground import Sandbox, sandbox


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = executable()
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=[*FLAGS]) as browser,
    ):
        yield browser


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sandbox(cwd=tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox that no other test has touched."""
    with sandbox(cwd=tmp_path) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that complains of nothing in its console, and asks no other host for anything."""
    complaints: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        hosts: set[str] = set()
        page.on("request", lambda request: hosts.add(request.url.split("/")[2].split(":")[0]))
        yield page
    assert complaints == []
    assert hosts <= {"127.0.0.1"}
