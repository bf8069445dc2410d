"""Bots in several processes share sessions in Redis, and go on while it is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.filters import CommandStart
from aiogram.fsm.storage.redis import RedisStorage
from aiogram.types import Message

from fixtures import updates
from fixtures.recorder import Recorder
from fixtures.redis_servers import RedisServer, redis_server
from gp_aiogram import (
    Click,
    RedisStore,
    SQLiteStore,
    Store,
    StoreUnavailable,
    Tracker,
    UserTracker,
    track,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path / "redis", "--appendonly", "yes") as server:
        yield server


class Process:
    """A bot in a process of its own, as far as the stores are concerned."""

    def __init__(self, redis: RedisStore, folder: Path) -> None:
        folder.mkdir()
        self.recorder = Recorder()
        self.tracker = Tracker(
            [self.recorder],
            store=Store.of(redis, SQLiteStore(folder / "gp.sqlite3")),
            journal=folder / "gp.journal",
        )
        self.journal = folder / "gp.journal"
        self.dispatcher = Dispatcher()
        self.tracker.setup(self.dispatcher)
        self.dispatcher.message(CommandStart())(greet)
        self.dispatcher.message(F.text == "buy")(buy)

    async def feed(self, bot: Bot, text: str) -> float:
        """Handle a message, and return the seconds that it took."""
        started = time.monotonic()
        await self.dispatcher.feed_raw_update(bot, updates.message(text=text))
        return time.monotonic() - started

    async def recorded(self) -> list[Any]:
        assert await self.tracker.flush(10)
        return [(event.name, event.session_id) for event in self.recorder.events]


@track("REG", once="user")
async def greet(message: Message) -> None: ...


async def buy(message: Message, gp: UserTracker) -> None:
    await gp.track("Buy")


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Callable[[RedisStore], Any]]:
    async with AsyncExitStack() as running:

        async def start(redis: RedisStore) -> Process:
            process = Process(redis, tmp_path / f"process{len(list(tmp_path.iterdir()))}")
            await running.enter_async_context(process.tracker)
            return process

        yield start


async def test_a_click_that_one_process_has_captured_counts_for_an_event_of_another(
    redis_url, redis_prefix, start, bot
):
    one, two = [await start(RedisStore(redis_url, prefix=redis_prefix)) for _ in range(2)]
    click = Click(fbclid="IwAR0aBcD_-e")
    session_id = await one.tracker.register_click(click)
    await one.feed(bot, f"/start {session_id}")
    await two.feed(bot, "buy")
    assert await one.recorded() == [("REG", session_id)]
    assert await two.recorded() == [("Buy", session_id)]
    (event,) = two.recorder.events
    assert event.click is not None
    assert event.click.fbclid == click.fbclid
    await two.tracker.forget(event.telegram_id)
    assert await one.tracker.session(event.telegram_id) is None
    assert await one.tracker.store.profiles.sessions_of("IwAR0aBcD_-e") == []


async def test_the_client_of_the_bots_own_storage_serves_both(redis_url, redis_prefix, start, bot):
    storage = RedisStorage.from_url(redis_url)
    process = await start(RedisStore(storage.redis, prefix=redis_prefix))
    await process.feed(bot, "/start gp_a")
    assert await process.recorded() == [("REG", "gp_a")]
    await process.tracker.close()
    assert await storage.redis.ping()
    await storage.close()


async def test_a_store_of_sessions_and_profiles_alone_keeps_the_default_outbox(
    redis_url, redis_prefix, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    redis, recorder = RedisStore(redis_url, prefix=redis_prefix), Recorder()
    async with Tracker([recorder], store=redis) as tracker:
        await tracker.capture(7, "gp_a", bot_id=42)
        await tracker.identify(7, email="ada@example.org")
        await tracker.track("REG", telegram_id=7)
        assert await tracker.flush(5)
    (event,) = recorder.events
    assert event.session_id == "gp_a"
    assert event.traits
    assert (tmp_path / "gp.sqlite3").exists()
    other = RedisStore(redis_url, prefix=redis_prefix)
    assert [touch.session_id for touch in await other.sessions.history(7)] == ["gp_a"]
    await other.close()


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_what_users_do_while_redis_is_away_is_recorded_when_it_is_back(
    server, start, bot, how
):
    process = await start(RedisStore(server.url, timeout=2))
    leave, come_back = {
        "killed": (server.kill, server.start),
        "frozen": (server.freeze, server.thaw),
    }[how]
    leave()
    assert await process.feed(bot, "/start gp_a") < 2
    assert await process.feed(bot, "buy") < 2
    assert process.journal.exists()
    assert process.journal.with_name("gp.journal.touches").exists()
    assert process.recorder.events == []
    with pytest.raises((StoreUnavailable, asyncio.TimeoutError)):
        await asyncio.wait_for(process.tracker.track("Buy", telegram_id=7, bot_id=42), 5)
    come_back()
    deadline = time.monotonic() + 20
    while (await process.tracker.stats()).waiting:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert await process.recorded() == [("REG", "gp_a"), ("Buy", "gp_a")]


async def test_a_bot_starts_while_redis_is_away(server, start, bot):
    server.kill()
    process = await start(RedisStore(server.url))
    await process.feed(bot, "/start gp_a")
    server.start()
    deadline = time.monotonic() + 20
    while (await process.tracker.stats()).waiting:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert await process.recorded() == [("REG", "gp_a")]
