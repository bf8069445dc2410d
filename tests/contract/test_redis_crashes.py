"""A crash between two writes to Redis, or another process, leaves nothing wrong for ever."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis

from gp_aiogram import (
    RedisStore,
    Session,
)
from gp_aiogram.stores.records import Unmatched
from gp_aiogram.stores.redis.connection import RedisConnection, Runner
from gp_aiogram.stores.redis.schema import Keys
from gp_aiogram.stores.redis.scripts import ADD_TOUCH, ADD_UNMATCHED, UNINDEX, UNLIST, Command
from gp_aiogram.testing.samples import CLICK, CLICKED_AT, NOON

DAY = timedelta(days=1)


@pytest.fixture
async def store(redis_url: str, redis_prefix: str) -> AsyncIterator[RedisStore]:
    store = RedisStore(redis_url, prefix=redis_prefix)
    await store.open()
    yield store
    await store.close()


#: Another process.
other = store


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as server:
        yield server


def touch(session_id: str = "gp_a", *, user: int = 7, minutes: int = 0) -> Session:
    return Session(42, user, session_id, "start", NOON + timedelta(minutes=minutes), session_id)


def everything(server: redis.Redis, prefix: str) -> str:
    """All that is stored, as text."""
    reads = {"hash": server.hgetall, "set": server.smembers, "string": server.get}
    names = sorted(server.scan_iter(f"{prefix}:*"))
    reads["zset"] = lambda name: server.zrange(name, 0, -1)
    return "\n".join(f"{name}: {reads[server.type(name)](name)}" for name in names)


class CutError(Exception):
    """The process ends."""


@pytest.fixture
def cut(monkeypatch):
    """Let a store make so many round trips more, and no other."""

    def cut(store: RedisStore, trips: int) -> None:
        left = iter(range(trips))
        connection = store.sessions._connection
        run = RedisConnection.run

        async def run_or_end(*commands: Command) -> Any:
            if commands and next(left, None) is None:
                raise CutError
            return await run(connection, *commands)

        monkeypatch.setattr(connection, "run", run_or_end)

    return cut


USERS = (7, 8, 9)


async def add_again(store):
    await store.sessions.add(touch("gp_b", minutes=5))
    await store.sessions.add(touch("gp_b", user=9, minutes=5))
    await store.profiles.add_click("gp_b", CLICK)
    await store.profiles.add_invite("link", "gp_b")


async def forget(store):
    await store.profiles.erase(7, {"gp_a"})
    await store.sessions.erase(7)


async def prune(store):
    await store.sessions.prune(NOON + DAY, 99)
    await store.profiles.prune(CLICKED_AT + DAY, 99)


@pytest.mark.parametrize("work", [add_again, forget, prune])
async def test_a_crash_between_two_writes_leaves_nothing_wrong(
    redis_url, redis_prefix, server, cut, work
):
    outcomes = set()
    for trips in range(80):
        store = RedisStore(redis_url, prefix=redis_prefix)
        await store.open()
        await store.sessions.add(touch())
        await store.sessions.add(touch(user=8))
        await store.profiles.add_click("gp_a", CLICK)
        await store.profiles.add_traits(7, {"meta": {"em": "a"}})
        dying = RedisStore(redis_url, prefix=redis_prefix)
        await dying.open()
        cut(dying, trips)
        try:
            await work(dying)
            is_over = True
        except CutError:
            is_over = False
        await dying.close()
        await assert_sound(store)
        if work is add_again and trips % 2:
            await prune(store)
            assert [await store.sessions.history(user) for user in USERS] == [[], [], []]
        await work(store)  # whoever asked is told of the crash, and asks again
        await assert_sound(store)
        # A digest that leads to no click is not worth a visit: it expires.
        left = re.sub(r"\n\S+\{c\w+\}:sessions.*", "", everything(server, redis_prefix))
        if work is forget:
            assert re.search(r"(u|')7\b", left) is None, left
        if work is prune:
            assert left == f"{redis_prefix}:layout: 1\n{redis_prefix}:{{u7}}:traits: {TRAITS}"
        outcomes.add(is_over)
        await store.close()
        server.delete(*server.scan_iter(f"{redis_prefix}:*"))
        if is_over:
            break
    assert outcomes == {True, False}


#: As they are stored.
TRAITS = {'["meta","em"]': '"a"'}


async def assert_sound(store: RedisStore) -> None:
    """All that is stored is found by all that it is looked for by, and nothing else is."""
    sessions, profiles = store.sessions, store.profiles
    histories = {user: await sessions.history(user) for user in USERS}
    for session_id in ("gp_a", "gp_b"):
        having = [
            one for each in histories.values() for one in each if one.session_id == session_id
        ]
        found = await sessions.touches_of(session_id)
        assert sorted(map(str, found)) == sorted(map(str, having))
        for user in USERS:
            others = any(one.telegram_id != user for one in having)
            assert await sessions.shared(user, {session_id}) == ({session_id} if others else set())
        click = (await profiles.profile(7, session_id)).click
        named = await profiles.sessions_of(CLICK.fbclid or "")
        assert (session_id in named) == (click is not None)
    if await profiles.invited("link") is not None:
        assert await profiles.invited("link") == "gp_b"


async def test_a_touch_that_comes_while_another_is_erased_is_found(store, other, monkeypatch):
    await store.sessions.add(touch())
    run, waiting = RedisConnection.run, [touch(minutes=5)]

    async def run_after_another_has_added(*commands: Command) -> Any:
        if any(command.script == UNINDEX.text for command in commands) and waiting:
            await other.sessions.add(waiting.pop())
        return await run(store.sessions._connection, *commands)

    monkeypatch.setattr(store.sessions._connection, "run", run_after_another_has_added)
    assert await store.sessions.erase(7) == {"gp_a"}
    assert waiting == []
    assert list(await store.sessions.history(7)) == [touch(minutes=5)]
    assert list(await store.sessions.touches_of("gp_a")) == [touch(minutes=5)]
    assert await store.sessions.shared(8, {"gp_a"}) == {"gp_a"}
    assert await store.sessions.prune(NOON + DAY, 9) == 1


async def test_a_touch_that_is_being_added_while_others_are_erased_is_found(
    store, other, monkeypatch
):
    await store.sessions.add(touch())
    run, erased = RedisConnection.run, []

    async def run_after_another_has_erased(*commands: Command) -> Any:
        if any(command.script == ADD_TOUCH.text for command in commands):
            erased.append(await other.sessions.erase(7))
        return await run(store.sessions._connection, *commands)

    monkeypatch.setattr(store.sessions._connection, "run", run_after_another_has_erased)
    await store.sessions.add(touch(minutes=5))
    assert erased == [{"gp_a"}]
    assert list(await store.sessions.touches_of("gp_a")) == [touch(minutes=5)]
    assert await store.sessions.shared(8, {"gp_a"}) == {"gp_a"}
    assert await store.sessions.prune(NOON + DAY, 9) == 1


async def test_whatever_comes_at_once_everything_is_found(store, other):
    for round_ in range(40):
        await asyncio.gather(
            store.sessions.add(touch(minutes=round_)),
            other.sessions.erase(7),
            other.profiles.add_click("gp_a", CLICK),
            store.profiles.erase(7, {"gp_a"}),
            other.sessions.add(touch(minutes=round_, user=8)),
            store.sessions.prune(NOON + timedelta(minutes=round_), 5),
        )
        await assert_sound(store)


# Conversions whose user has not turned up


def told(key: str, click_id: str = "gp_a", minutes: int = 0) -> Unmatched:
    return Unmatched(key, click_id, NOON + timedelta(minutes=minutes), {"event": "FTD"})


KEPT = told("kept")
NEW = [told("new", minutes=5), told("of an id", CLICK.fbclid or "", 1), told("kept", "gp_b")]


async def tell(store):
    for one in NEW:
        await store.profiles.add_unmatched(one)


async def drop(store):
    await store.profiles.drop_unmatched(["kept", "never told"])


@pytest.mark.parametrize(
    ("work", "waiting"), [(tell, [KEPT, NEW[1], NEW[0]]), (drop, [])], ids=["tell", "drop"]
)
async def test_a_crash_leaves_no_conversion_that_its_user_does_not_find(
    redis_url, redis_prefix, server, cut, work, waiting
):
    outcomes = set()
    for trips in range(80):
        store = RedisStore(redis_url, prefix=redis_prefix)
        await store.open()
        await store.profiles.add_click("gp_a", CLICK)
        await store.profiles.add_unmatched(KEPT)
        dying = RedisStore(redis_url, prefix=redis_prefix)
        await dying.open()
        cut(dying, trips)
        try:
            await work(dying)
            is_over = True
        except CutError:
            is_over = False
        await dying.close()
        await assert_found(store)
        await work(store)
        await assert_found(store)
        assert list(await store.profiles.unmatched()) == waiting
        # What was left behind is in nobody's way.
        await store.profiles.drop_unmatched([one.key for one in waiting])
        assert "{k" not in everything(server, redis_prefix)
        await tell(store)
        await assert_found(store)
        assert list(await store.profiles.unmatched_of("gp_a")) == [NEW[1], NEW[0]]
        outcomes.add(is_over)
        await store.close()
        server.delete(*server.scan_iter(f"{redis_prefix}:*"))
        if is_over:
            break
    assert outcomes == {True, False}


async def assert_found(store: RedisStore) -> None:
    """Every conversion is found by its session, and nothing else is."""
    listed = await store.profiles.unmatched()
    ids = {"gp_a": {"gp_a", CLICK.fbclid}, "gp_b": {"gp_b"}}
    for session_id, click_ids in ids.items():
        expected = [one for one in listed if one.click_id in click_ids]
        assert list(await store.profiles.unmatched_of(session_id)) == expected


@pytest.mark.parametrize("other_id", ["gp_a", "gp_b"])
async def test_a_conversion_that_is_told_while_another_is_dropped_is_found(
    store, other, monkeypatch, other_id
):
    """It has the same key; the process that drops goes on after it was told."""
    again = told("kept", other_id, 5)
    await store.profiles.add_unmatched(KEPT)
    run, waiting = RedisConnection.run, [again]

    async def run_after_another_has_told(*commands: Command) -> Any:
        if any(command.words[0] == "ZREM" for command in commands) and waiting:
            await other.profiles.add_unmatched(waiting.pop())
        return await run(store.sessions._connection, *commands)

    monkeypatch.setattr(store.sessions._connection, "run", run_after_another_has_told)
    await store.profiles.drop_unmatched(["kept"])
    assert waiting == []
    assert list(await store.profiles.unmatched()) == [again]
    assert list(await store.profiles.unmatched_of(other_id)) == [again]


async def test_a_conversion_that_is_being_told_while_another_is_dropped_is_found(
    store, other, monkeypatch
):
    await store.profiles.add_unmatched(KEPT)
    again = told("kept", minutes=5)
    run, dropped = RedisConnection.run, []

    async def run_after_another_has_dropped(*commands: Command) -> Any:
        if any(command.script == ADD_UNMATCHED.text for command in commands):
            dropped.append(await other.profiles.drop_unmatched(["kept"]))
        return await run(store.sessions._connection, *commands)

    monkeypatch.setattr(store.sessions._connection, "run", run_after_another_has_dropped)
    await store.profiles.add_unmatched(again)
    assert dropped == [None]
    assert list(await store.profiles.unmatched_of("gp_a")) == [again]


async def test_a_conversion_that_has_another_place_meanwhile_is_told_there(
    store, other, monkeypatch
):
    """It was dropped and told again after its place was read."""
    await store.profiles.add_unmatched(KEPT)
    later = [told("kept", minutes=9), told("between", minutes=5)]
    run, waiting = RedisConnection.run, [*later]

    async def run_after_another_has_told(*commands: Command) -> Any:
        if any(command.words[0] == "GET" for command in commands) and waiting:
            await other.profiles.drop_unmatched(["kept"])
            while waiting:
                await other.profiles.add_unmatched(waiting.pop())
        return await run(store.sessions._connection, *commands)

    monkeypatch.setattr(store.sessions._connection, "run", run_after_another_has_told)
    assert list(await store.profiles.unmatched()) == [later[1], later[0]]


async def test_a_conversion_that_is_told_while_the_place_of_a_forgotten_one_is_removed_is_found(
    store, other, server, redis_prefix, monkeypatch
):
    await store.profiles.add_unmatched(KEPT)
    server.delete(Keys(redis_prefix).unmatched("kept")[0])  # as Redis does in time
    run, waiting = RedisConnection.run, [KEPT]

    async def run_after_another_has_told(*commands: Command) -> Any:
        if any(command.script == UNLIST.text for command in commands) and waiting:
            await other.profiles.add_unmatched(waiting.pop())
        return await run(store.sessions._connection, *commands)

    monkeypatch.setattr(store.sessions._connection, "run", run_after_another_has_told)
    assert list(await store.profiles.unmatched()) == []
    assert waiting == []
    assert list(await store.profiles.unmatched()) == [KEPT]


async def test_a_key_that_is_told_again_leaves_nothing_behind(store, server, redis_prefix):
    await store.profiles.add_unmatched(KEPT)
    before = everything(server, redis_prefix)
    await store.profiles.add_unmatched(told("kept", minutes=5))
    await store.profiles.add_unmatched(told("kept", "gp_b"))
    assert everything(server, redis_prefix) == before
    await store.profiles.drop_unmatched(["kept"])
    assert "unmatched" not in everything(server, redis_prefix)


async def test_of_conversions_with_one_key_one_is_kept_whoever_tells_them(store, other):
    for round_ in range(40):
        keys = ["kept", "new"]
        await asyncio.gather(
            *(
                teller.profiles.add_unmatched(told(key, session_id, round_))
                for key in keys
                for teller in (store, other)
                for session_id in ("gp_a", "gp_b")
            ),
            other.profiles.drop_unmatched([keys[round_ % 2]]),
        )
        await assert_found(store)
        listed = [one.key for one in await store.profiles.unmatched()]
        assert len(listed) == len({*listed}) >= 1
        await store.profiles.drop_unmatched([keys[round_ // 2 % 2]])
        await assert_found(other)


# An answer that is lost


async def test_a_conversion_whose_answer_was_lost_is_found(store, monkeypatch):
    send = Runner._send

    async def send_twice(runner, commands):
        await send(runner, commands)
        return await send(runner, commands)

    monkeypatch.setattr(Runner, "_send", send_twice)
    await store.profiles.add_unmatched(KEPT)
    await store.profiles.add_unmatched(KEPT)
    assert list(await store.profiles.unmatched_of("gp_a")) == [KEPT]
    await store.profiles.drop_unmatched(["kept"])
    assert list(await store.profiles.unmatched_of("gp_a")) == []
    assert list(await store.profiles.unmatched()) == []


async def test_a_click_whose_answer_was_lost_is_not_refused(store, monkeypatch):
    """The command is sent again over another connection, as redis-py does."""
    send = Runner._send

    async def send_twice(runner, commands):
        await send(runner, commands)
        return await send(runner, commands)

    monkeypatch.setattr(Runner, "_send", send_twice)
    assert await store.profiles.add_click("gp_a", CLICK)
    assert not await store.profiles.add_click("gp_a", CLICK)
    await store.sessions.add(touch())
    assert list(await store.sessions.history(7)) == [touch()]
