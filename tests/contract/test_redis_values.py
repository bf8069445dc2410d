"""What RedisStore keeps, and what Redis forgets by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import redis

from gp_aiogram import (
    Attribution,
    Click,
    MemoryStore,
    RedisStore,
    Retention,
    Session,
    Store,
    Tracker,
)
from gp_aiogram.stores.redis import indexes as redis_indexes
from gp_aiogram.stores.redis import sessions as redis_sessions
from gp_aiogram.stores.redis.schema import Keys
from gp_aiogram.testing.samples import CLICK, CLICKED_AT, NOON

DAY = timedelta(days=1)


@pytest.fixture
async def store(redis_url: str, redis_prefix: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis_url, prefix=redis_prefix)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as server:
        yield server


def touch(session_id: str = "gp_a", *, user: int = 7, minutes: int = 0) -> Session:
    return Session(42, user, session_id, "start", NOON + timedelta(minutes=minutes), session_id)


def is_kept(server: redis.Redis, name: str | bytes) -> float:
    """Seconds that a key is kept for, from now on."""
    return server.pttl(name) / 1000


# What is kept


@pytest.mark.parametrize("user", [1, 2**53 + 1, 2**63 - 1])
@pytest.mark.parametrize("bot", [None, 2**53 + 1, 2**63 - 1])
async def test_ids_are_kept_to_the_last_digit(store, user, bot):
    kept = Session(bot, user, "gp_a", "start", NOON, "gp_a")
    others = [
        Session(None if bot is None else bot - 1, user, "gp_a", "start", NOON, "gp_a"),
        Session(bot, user - 1, "gp_a", "start", NOON, "gp_a"),
    ]
    for session in (kept, *others):
        await store.sessions.add(session)
    assert kept in await store.sessions.history(user)
    assert len(await store.sessions.history(user)) == (1 if bot is None else 2)
    assert kept in await store.sessions.touches_of("gp_a")
    assert await store.sessions.shared(user, {"gp_a"}) == {"gp_a"}


@pytest.mark.parametrize(
    "text", ["gp_}x{", "{gp}", "é ✓ 😀", "half \ud83d", 'quoted "', "- 5 # *", "line\n\x00"]
)
async def test_any_text_is_kept(store, text):
    session = Session(42, 7, text, "manual", NOON, text)
    await store.sessions.add(session)
    assert list(await store.sessions.history(7)) == [session]
    assert list(await store.sessions.touches_of(text)) == [session]
    click = Click(CLICKED_AT, fbclid=text, utm={text: text})
    assert await store.profiles.add_click(text, click)
    assert list(await store.profiles.sessions_of(text)) == [text]
    await store.profiles.add_traits(7, {"meta": {text: text}})
    profile = await store.profiles.profile(7, text)
    assert (profile.click, profile.traits) == (click, {"meta": {text: text}})
    await store.profiles.add_invite(text, text)
    assert await store.profiles.invited(text) == text
    assert await store.sessions.erase(7) == {text}
    await store.profiles.erase(7, {text})
    assert await store.profiles.invited(text) is None


@pytest.mark.parametrize("year", [1, 1969, 1970, 2255, 2256, 9999])
async def test_a_moment_of_any_year_is_kept(store, year):
    at = datetime(year, 12, 31, 23, 59, 59, 999_000, tzinfo=timezone.utc)
    session = Session(42, 7, "gp_a", "start", at, "gp_a")
    await store.sessions.add(session)
    await store.sessions.add(touch())
    assert session in await store.sessions.history(7)
    assert session in await store.sessions.touches_of("gp_a")
    if year < 9999:
        assert await store.sessions.prune(at + timedelta(milliseconds=1), 9) >= 1
        assert session not in await store.sessions.history(7)


async def test_the_latest_touches_of_a_campaign_are_found_among_many(store, monkeypatch):
    monkeypatch.setattr(redis_sessions, "indexed", _in_pages_of(7))
    touches = [touch("gp_campaign", user=n, minutes=n * 17 % 60) for n in range(1, 60)]
    await asyncio.gather(*map(store.sessions.add, touches))
    latest = sorted(touches, key=lambda one: one.at, reverse=True)
    for limit in (1, 10, 59, 100):
        assert list(await store.sessions.touches_of("gp_campaign", limit)) == latest[:limit]


def _in_pages_of(count: int) -> Any:
    def indexed(connection: Any, key: Any) -> Any:
        return redis_indexes.indexed(connection, key, count)

    return indexed


async def test_pruning_takes_no_more_than_it_may_of_a_user_with_many_touches(store):
    for number in range(30):
        await store.sessions.add(touch(f"gp_{number}", minutes=number))
        await store.sessions.add(touch(f"gp_{number}", user=8 + number, minutes=number))
    later, erased = NOON + DAY, []
    while count := await store.sessions.prune(later, 7):
        assert count <= 7
        erased.append(count)
    assert sum(erased) == 60
    assert list(await store.sessions.history(7)) == []


async def test_a_row_that_cannot_be_read_costs_no_other(store, server, redis_prefix, caplog):
    await store.sessions.add(touch())
    await store.profiles.add_click("gp_a", CLICK)
    await store.profiles.add_traits(7, {"meta": {"em": "a"}})
    keys = Keys(redis_prefix)
    server.hset(keys.touches(7)[0], "5 - spoilt", "1 []")
    server.hset(keys.traits(7), "spoilt", "1")
    server.set(keys.click("gp_b")[0], "spoilt")
    assert list(await store.sessions.history(7)) == [touch()]
    profile = await store.profiles.profile(7, "gp_b")
    assert (profile.click, profile.traits) == (None, {"meta": {"em": "a"}})
    assert caplog.text.count("cannot be read and is left out") == 3


async def test_two_prefixes_are_two_stores(store, redis_url, redis_prefix):
    await store.sessions.add(touch())
    other = RedisStore(redis_url, prefix=f"{redis_prefix}:2")
    assert list(await other.sessions.history(7)) == []
    await other.close()


# What Redis forgets


async def test_redis_forgets_by_itself(redis_url, redis_prefix, server):
    store = RedisStore(
        redis_url, prefix=redis_prefix, retention=Retention(timedelta(milliseconds=400))
    )
    await store.open()
    await store.sessions.add(touch())
    await store.profiles.add_invite("before", "gp_c")
    await store.profiles.add_click("gp_c", CLICK)
    await store.profiles.add_click("gp_a", CLICK)
    await store.profiles.add_invite("a person's", "gp_a")
    await store.profiles.add_invite("a campaign's", "gp_b")
    await store.profiles.add_traits(7, {"meta": {"em": "a"}})
    assert await store.profiles.invited("before") == "gp_c"
    assert await store.profiles.invited("a person's") == "gp_a"
    keys = Keys(redis_prefix)
    deadline = time.monotonic() + 10
    while server.exists(keys.touches(7)[0]) or server.exists(*keys.click("gp_a")):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert list(await store.sessions.history(7)) == []
    assert list(await store.sessions.touches_of("gp_a")) == []
    assert await store.sessions.shared(8, {"gp_a"}) == set()
    assert list(await store.profiles.sessions_of(CLICK.fbclid)) == []
    assert await store.profiles.invited("before") is None
    assert await store.profiles.invited("a person's") is None
    assert await store.profiles.invited("a campaign's") == "gp_b"
    profile = await store.profiles.profile(7, "gp_a")
    assert (profile.click, profile.traits) == (None, {"meta": {"em": "a"}})
    assert await store.profiles.add_click("gp_a", CLICK)
    await store.close()


async def test_a_touch_is_kept_from_its_storing_on_by_the_servers_clock(
    store, server, redis_prefix
):
    keys, ninety = Keys(redis_prefix), timedelta(days=90).total_seconds()
    await store.sessions.add(touch())
    await store.profiles.add_click("gp_a", CLICK)
    (touches, _), (click, _) = keys.touches(7), keys.click("gp_a")
    for name in (touches, click):
        assert ninety - 60 < is_kept(server, name) <= ninety
    for name in (
        keys.users("gp_a"),
        keys.touch_calendar(7),
        keys.click_calendar("gp_a"),
        keys.sessions(CLICK.fbclid or ""),
    ):
        assert ninety < is_kept(server, name) <= ninety + DAY.total_seconds()
    server.pexpire(touches, 1000)
    await store.sessions.add(touch("gp_b"))
    assert is_kept(server, touches) > ninety - 60


async def test_what_a_tracker_counts_is_kept_as_long_as_it_counts(redis_url, redis_prefix, server):
    store = RedisStore(redis_url, prefix=redis_prefix, retention=Retention(DAY))
    attribution = Attribution(window=timedelta(days=365))
    tracker = Tracker([], store=Store.of(store, MemoryStore()), attribution=attribution)
    async with tracker:
        await tracker.capture(7, "gp_a", bot_id=42)
    assert is_kept(server, Keys(redis_prefix).touches(7)[0]) > 364 * DAY.total_seconds()
