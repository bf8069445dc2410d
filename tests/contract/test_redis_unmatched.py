"""Conversions whose user has not turned up, in Redis: what is kept, how long, and at what cost."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import redis

from gp_aiogram import Click, MemoryStore, RedisStore, Retention
from gp_aiogram.stores.records import Unmatched
from gp_aiogram.stores.redis import unmatched as redis_unmatched
from gp_aiogram.stores.redis.connection import Runner
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


def told(key: str, click_id: str = "gp_a", minutes: float = 0, **body: Any) -> Unmatched:
    return Unmatched(key, click_id, NOON + timedelta(minutes=minutes), body)


def kept_for(server: redis.Redis, name: str) -> timedelta:
    """How long a key is kept from now on."""
    return timedelta(milliseconds=server.pttl(name))


# What is kept


@pytest.mark.parametrize(
    "text", ["{gp}", "gp_}x{", "é ✓ 😀", "half \ud83d", 'quoted "', "a  b ", "line\n\x00", ""]
)
async def test_any_text_is_kept(store, text):
    one = told(text, text, **{text: [text, None, 1.5, {"a": True}]})
    assert await store.profiles.add_unmatched(one)
    assert list(await store.profiles.unmatched_of(text)) == [one]
    await store.profiles.add_click("gp_b", Click(CLICKED_AT, ids={"subid": text or "-"}))
    assert list(await store.profiles.unmatched_of("gp_b")) == ([one] if text else [])
    assert list(await store.profiles.unmatched()) == [one]
    assert list(await store.profiles.unmatched(after=one)) == []
    await store.profiles.drop_unmatched([text])
    assert list(await store.profiles.unmatched()) == []


@pytest.mark.parametrize("year", [1, 1969, 1970, 2255, 2256, 9999])
async def test_a_moment_of_any_year_is_kept(store, year):
    at = datetime(year, 12, 31, 23, 59, 59, 999_000, tzinfo=timezone.utc)
    one = Unmatched("a", "gp_a", at, {"until": at.isoformat()})
    now = told("b")
    await store.profiles.add_unmatched(now)
    await store.profiles.add_unmatched(one)
    in_order = sorted([one, now], key=lambda kept: kept.at)
    assert list(await store.profiles.unmatched()) == in_order
    assert list(await store.profiles.unmatched(after=in_order[0])) == in_order[1:]
    assert list(await store.profiles.unmatched_of("gp_a")) == in_order


@pytest.mark.parametrize("page", [1, 2, 3, 100])
async def test_the_order_is_that_of_every_store(store, monkeypatch, page):
    """Moments that many share, and keys that sort by code points and begin alike."""
    monkeypatch.setattr(redis_unmatched, "PAGE", page)
    model = MemoryStore().profiles
    texts = ["a", "a ", "a\x00", "a0", "ab", "A", "é", "\ue000", "\U0001f600", "b", ""]
    names = [*texts, *(f"{number}" for number in range(30))]
    for name in random.Random(1).sample(names, len(names)):
        one = told(name, ("gp_a", CLICK.fbclid or "", "gp_c")[len(name) % 3], len(name) // 2)
        for profiles in (store.profiles, model):
            await profiles.add_unmatched(one)
    for profiles in (store.profiles, model):
        await profiles.add_click("gp_a", CLICK)
    for limit in (1, 2, 7, 100):
        for session_id in ("gp_a", "gp_b", "gp_c"):
            expected = await model.unmatched_of(session_id, limit)
            assert list(await store.profiles.unmatched_of(session_id, limit)) == expected
        last, seen = None, []
        while found := await store.profiles.unmatched(limit, last):
            assert list(found) == await model.unmatched(limit, last)
            seen += found
            last = found[-1]
        assert len(seen) == len(names)


async def test_what_cannot_be_read_costs_no_other(store, server, redis_prefix, caplog):
    good, bad = told("good"), told("bad", minutes=-1)
    await store.profiles.add_unmatched(good)
    await store.profiles.add_unmatched(bad)
    server.set(Keys(redis_prefix).unmatched("bad")[0], "spoilt")
    assert list(await store.profiles.unmatched()) == [good]
    assert list(await store.profiles.unmatched(limit=1)) == [good]
    assert list(await store.profiles.unmatched_of("gp_a")) == [good]
    assert "a stored conversion cannot be read and is left out" in caplog.text
    await store.profiles.drop_unmatched(["bad"])
    assert not server.exists(Keys(redis_prefix).unmatched("bad")[0])


# What it costs


async def test_a_touch_for_which_nothing_waits_costs_two_round_trips(store, monkeypatch):
    await store.profiles.add_click("gp_a", CLICK)
    await store.profiles.add_unmatched(told("another's", "gp_b"))
    run, trips = Runner.run, []

    async def counted(runner, commands):
        trips.append(len(commands))
        return await run(runner, commands)

    monkeypatch.setattr(Runner, "run", counted)
    assert list(await store.profiles.unmatched_of("gp_a")) == []
    ids = 1 + len({*CLICK.click_ids().values()})
    assert [trip for trip in trips if trip] == [1, ids]


# What Redis forgets


async def test_a_conversion_is_kept_as_long_as_what_its_user_has(store, server, redis_prefix):
    keys, ninety = Keys(redis_prefix), timedelta(days=90)
    soon = datetime.now(timezone.utc) + 30 * DAY
    await store.profiles.add_unmatched(told("a", until=soon.isoformat()))
    conversion, order = keys.unmatched("a")
    assert ninety - DAY / 24 < kept_for(server, conversion) <= ninety
    for name in (order, keys.unmatched_of("gp_a")):
        assert ninety < kept_for(server, name) <= ninety + DAY


async def test_a_conversion_outlives_by_far_what_it_waits_for(store, server, redis_prefix):
    """A bot that was away sees what has waited too long, counts it, and tells of it."""
    keys, until = Keys(redis_prefix), 200 * DAY
    moment = datetime.now(timezone.utc) + until
    await store.profiles.add_unmatched(told("a", until=moment.isoformat()))
    conversion, order = keys.unmatched("a")
    assert until + 29 * DAY < kept_for(server, conversion) <= until + 30 * DAY
    for name in (order, keys.unmatched_of("gp_a")):
        assert kept_for(server, name) > kept_for(server, conversion) + DAY / 2
    # What waits for less does not shorten the life of the orders.
    await store.profiles.add_unmatched(told("b"))
    assert kept_for(server, keys.unmatched_of("gp_a")) > until + 30 * DAY


@pytest.mark.parametrize("until", [None, 5, "soon", "2226-01-01T00:00:00"])
async def test_whatever_a_conversion_says_it_is_kept(store, server, redis_prefix, until):
    await store.profiles.add_unmatched(told("a", until=until))
    assert kept_for(server, Keys(redis_prefix).unmatched("a")[0]) > 89 * DAY


async def test_what_redis_has_forgotten_is_in_nobodys_way(redis_url, redis_prefix, server):
    keys = Keys(redis_prefix)
    short = RedisStore(
        redis_url, prefix=redis_prefix, retention=Retention(timedelta(milliseconds=300))
    )
    store = RedisStore(redis_url, prefix=redis_prefix)
    names = [f"{number}" for number in range(20)]
    for name in names:
        await short.profiles.add_unmatched(told(name))
    kept = told("kept", minutes=1)
    await store.profiles.add_unmatched(kept)
    deadline = time.monotonic() + 10
    while server.exists(*(keys.unmatched(name)[0] for name in names)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert list(await store.profiles.unmatched_of("gp_a", 1)) == [kept]
    assert list(await store.profiles.unmatched(1)) == [kept]
    assert sum(server.zcard(order) for order in keys.unmatched_orders) == 1
    assert list(await store.profiles.unmatched(after=kept)) == []
    # Told again, it waits again.
    await store.profiles.add_unmatched(told("0"))
    assert list(await store.profiles.unmatched()) == [told("0"), kept]
    for one in (short, store):
        await one.close()
