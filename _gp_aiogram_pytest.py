"""The pytest plugin ``gp_aiogram``, apart from the package, so that pytest's start costs nothing.

pytest imports it in every project that has gp_aiogram installed. The package itself, which takes
most of a second, is imported when a test asks for one of the fixtures.
"""

from __future__ import annotations

import sys
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gp_aiogram.testing import ManualClock, RecordedEvents
    from gp_aiogram.testing.sandboxes import Sandboxes

_EVENTS, _CLOCK, _SANDBOX = "gp_events", "gp_clock", "gp_sandbox"

#: The fixture that runs the stand-ins, by the plugin that runs the event loop.
_RUNNERS = {"asyncio": "_gp_sandbox_of_pytest_asyncio", "anyio": "_gp_sandbox_of_anyio"}


@pytest.fixture
def gp_events() -> Iterator[RecordedEvents]:
    """Everything that trackers record during the test; nothing is sent to other machines."""
    from gp_aiogram.testing.catching import caught

    with caught() as events:
        yield events


@pytest.fixture
def gp_clock() -> ManualClock:
    """A clock that stands still until the test turns it; it begins with the present second."""
    from gp_aiogram.testing import ManualClock

    return ManualClock(float(int(time.time())))


@pytest.fixture
def gp_sandbox(request: pytest.FixtureRequest) -> Sandboxes:
    """Stand-ins of Telegram and the ad platforms, running while the test does.

    With ``gp_clock``, they live by that clock.
    """
    sandboxes: Sandboxes = request.getfixturevalue(_RUNNERS[_loop_of(request)])
    return sandboxes


def _loop_of(request: pytest.FixtureRequest) -> str:
    """Tell which plugin runs the test."""
    plugins = request.config.pluginmanager
    if "anyio_backend" in request.fixturenames and plugins.hasplugin("anyio"):
        return "anyio"
    if plugins.hasplugin("asyncio"):
        return "asyncio"
    pytest.fail(
        "gp_sandbox serves within the event loop of a test: install pytest-asyncio "
        '(pip install "gp-aiogram[testing]"), or mark the test with pytest.mark.anyio',
        pytrace=False,
    )


async def _run_sandbox(request: pytest.FixtureRequest) -> AsyncIterator[Sandboxes]:
    from gp_aiogram.testing.sandboxes import running

    clock: Callable[[], float] = time.time
    if _CLOCK in request.fixturenames:
        clock = request.getfixturevalue(_CLOCK).time
    async with running(clock) as sandboxes:
        yield sandboxes


def pytest_configure(config: pytest.Config) -> None:
    """Offer the stand-ins to the plugins that are there."""
    if config.pluginmanager.hasplugin("asyncio"):
        import pytest_asyncio

        offered = pytest_asyncio.fixture(_run_sandbox, name=_RUNNERS["asyncio"])
        _register(config, offered, _RUNNERS["asyncio"])
    else:
        # The store contracts bear it, and importing them must not warn.
        config.addinivalue_line("markers", "asyncio: runs in an event loop of pytest-asyncio")
    if config.pluginmanager.hasplugin("anyio"):
        offered = pytest.fixture(_of_anyio, name=_RUNNERS["anyio"])
        _register(config, offered, _RUNNERS["anyio"])


async def _of_anyio(request: pytest.FixtureRequest) -> AsyncIterator[Sandboxes]:
    async for sandboxes in _run_sandbox(request):
        yield sandboxes


def _register(config: pytest.Config, fixture: Any, name: str) -> None:
    """Register a plugin of one fixture."""
    plugin = ModuleType(name)
    vars(plugin)["fixture"] = fixture
    config.pluginmanager.register(plugin, name)


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Show what differs between recorded and expected events, a line for each."""
    recorded = sys.modules.get("gp_aiogram.testing.recorded")
    if recorded is None or op != "==":
        return None
    one, other = (left, right) if isinstance(left, recorded.RecordedEvents) else (right, left)
    if not isinstance(one, recorded.RecordedEvents) or not isinstance(other, Sequence):
        return None
    lines: list[str] = recorded.explain(one, other)
    return lines


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what was recorded in it."""
    report = yield
    events = getattr(item, "funcargs", {}).get(_EVENTS)
    recorded = sys.modules.get("gp_aiogram.testing.recorded")
    if report.failed and recorded is not None and isinstance(events, recorded.RecordedEvents):
        lines = events.table() or ["nothing"]
        report.sections.append(("recorded by gp_aiogram", "\n".join(lines)))
    return report
