from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from aiogram import Bot, Dispatcher

from fixtures.recorder import Feed, Recorder
from fixtures.redis_servers import own_keys, shared_redis
from gp_aiogram import Event, MemoryStore, Tracker

# At the end: the examples are found, and an installed gp_aiogram goes before the checkout's.
sys.path.append(str(Path(__file__).parents[1]))

#: The same examples in every run: a change is judged by what it does, not by what was drawn.
hypothesis.settings.register_profile(
    "gp_aiogram",
    derandomize=True,
    deadline=None,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.filter_too_much,
    ],
)
hypothesis.settings.load_profile("gp_aiogram")


def pytest_collection_finish() -> None:
    """Keep thousands of collected tests out of later collections: each would stall event loops."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach the stand-ins directly, whatever proxy this machine uses."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session")
def _away(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("away")


@pytest.fixture(autouse=True)
def _folder(_away: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep files with default names, such as a journal, out of the working folder."""
    monkeypatch.chdir(_away)
    yield
    for left in _away.iterdir():
        left.unlink()


@pytest.fixture
def redis_url() -> str:
    """A server that all tests share; see GP_TEST_REDIS."""
    return shared_redis()


@pytest.fixture
def redis_prefix(redis_url: str) -> Iterator[str]:
    """What the names of a test's own keys begin with."""
    with own_keys(redis_url) as prefix:
        yield prefix


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def tracker(recorder: Recorder, store: MemoryStore) -> AsyncIterator[Tracker]:
    tracker = Tracker([recorder], store=store)
    yield tracker
    await tracker.close(grace=0)


@pytest.fixture
def bot() -> Bot:
    return Bot("42:TEST")


@pytest.fixture
def dp(tracker: Tracker) -> Dispatcher:
    """A dispatcher that the tracker is set up on; its start-up is up to the test."""
    dispatcher = Dispatcher()
    tracker.setup(dispatcher)
    return dispatcher


@pytest.fixture
def feed(dp: Dispatcher, bot: Bot) -> Feed:
    """Feed a raw update to the dispatcher, as polling and webhooks do."""

    async def feed(update: dict[str, Any], via: Bot | None = None) -> Any:
        return await dp.feed_raw_update(via or bot, update)

    return feed


@pytest.fixture
async def recorded(tracker: Tracker, recorder: Recorder) -> Callable[[], Awaitable[list[Event]]]:
    """Everything that reached the destination so far."""

    async def recorded() -> list[Event]:
        await tracker.start()
        assert await tracker.flush(5)
        return recorder.events

    return recorded
