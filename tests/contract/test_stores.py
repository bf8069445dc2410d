"""The stores keep the contract, and the contract's clock tells the time."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from contextlib import suppress
from datetime import timedelta

import pytest

from gp_aiogram.model.click import Click
from gp_aiogram.model.session import Session, SessionQuery
from gp_aiogram.stores import touch_limit
from gp_aiogram.stores.contract import ProfileStore, SessionStore, Store
from gp_aiogram.stores.memory import MemoryStore
from gp_aiogram.stores.memory import sessions as memory_sessions
from gp_aiogram.stores.records import ContextQuery, Profile, UserContext
from gp_aiogram.stores.sqlite import SQLiteStore
from gp_aiogram.stores.sqlite import outbox as sqlite_outbox
from gp_aiogram.stores.sqlite import selection as sqlite_selection
from gp_aiogram.stores.sqlite import sessions as sqlite_sessions
from gp_aiogram.testing import (
    ManualClock,
    OutboxContract,
    ProfileStoreContract,
    SessionStoreContract,
    StoreContract,
)
from gp_aiogram.testing.samples import LEASE, NOON, claim_all, claim_one, fill, key

DAY = 24 * 60 * 60.0


class OneProcessContract(StoreContract):
    """What is promised by stores whose claims are in the memory of one process."""

    @pytest.mark.parametrize("jump", [-10 * DAY, 10 * DAY])
    async def test_setting_the_wall_clock_ends_no_lease(self, outbox, clock, jump):
        await fill(outbox, "e1")
        await claim_one(outbox)
        clock.jump(jump)
        assert list(await claim_all(outbox)) == []
        clock.advance(LEASE)
        assert len(await claim_all(outbox)) == 1


class LimitedContract(OneProcessContract):
    """What is promised by stores that limit the touches of a user."""

    @pytest.fixture(autouse=True)
    def few_touches(self, monkeypatch):
        for module in (memory_sessions, sqlite_sessions, touch_limit):
            monkeypatch.setattr(module, "MAX_TOUCHES", 20)

    async def test_the_first_and_the_last_touches_of_a_bot_stay(self, sessions, caplog):
        def touch(number, bot=42, user=7):
            at = NOON + timedelta(minutes=number)
            return Session(bot, user, f"gp_{number}", "start", at, f"gp_{number}")

        others = [touch(0, bot=43), touch(1, bot=43), touch(2, bot=None)]
        ours = [touch(number) for number in range(3, 40)]
        for added in [*others, *ours, touch(1, user=8)]:
            await sessions.add(added)
        kept = [*others, ours[0], *ours[-16:]]
        assert list(await sessions.history(7)) == kept
        assert list(await sessions.history(8)) == [touch(1, user=8)]
        await sessions.add(touch(-5))
        assert list(await sessions.history(7)) == [touch(-5), *others, *ours[-16:]]
        assert caplog.text.count("more than 20 touches") == 1

    async def test_touches_that_come_at_once_are_limited(self, sessions):
        touches = [
            Session(42, 7, f"gp_{n}", "start", NOON + timedelta(minutes=n), "") for n in range(50)
        ]
        await asyncio.gather(*map(sessions.add, touches))
        assert list(await sessions.history(7)) == [touches[0], *touches[-19:]]

    async def test_a_user_of_many_bots_keeps_every_first_and_last_touch(self, sessions):
        touches = [
            Session(n % 25, 7, "gp_a", "start", NOON + timedelta(minutes=n), "") for n in range(50)
        ]
        for touch in touches:
            await sessions.add(touch)
        assert list(await sessions.history(7)) == touches


class TestMemoryStore(LimitedContract):
    @pytest.fixture
    async def store(self, clock):
        store = MemoryStore(clock=clock)
        await store.open()
        yield store
        await store.close()


class TestSQLiteStore(LimitedContract):
    @pytest.fixture
    async def store(self, clock, tmp_path):
        store = SQLiteStore(tmp_path / "gp.sqlite3", clock=clock)
        await store.open()
        yield store
        await store.close()


class TestSQLiteStoreInSmallPages(OutboxContract):
    """What takes one look otherwise takes several."""

    @pytest.fixture(params=[(1, 1), (3, 2)])
    async def store(self, clock, tmp_path, monkeypatch, request):
        window, page = request.param
        monkeypatch.setattr(sqlite_selection, "WINDOW", window)
        monkeypatch.setattr(sqlite_outbox, "PAGE", page)
        store = SQLiteStore(tmp_path / "gp.sqlite3", clock=clock)
        await store.open()
        yield store
        await store.close()


class TestStoreOfParts(OneProcessContract):
    """Sessions of one store, everything else of another."""

    @pytest.fixture
    async def store(self, clock, tmp_path):
        sessions = SQLiteStore(tmp_path / "sessions.sqlite3", clock=clock).sessions
        store = Store.of(sessions, MemoryStore(clock=clock))
        await store.open()
        yield store
        await store.close()


class TestSessionsAlone(SessionStoreContract):
    @pytest.fixture
    def store(self):
        return MemoryStore().sessions


class TestSessionsUnderTheirOwnName(SessionStoreContract):
    @pytest.fixture
    def sessions(self):
        return MemoryStore().sessions


class TestProfilesAlone(ProfileStoreContract):
    @pytest.fixture
    def store(self):
        return MemoryStore().profiles


class TestOutboxAlone(OutboxContract):
    @pytest.fixture
    def store(self, clock):
        return MemoryStore(clock=clock).outbox


class Unreachable(SessionStore, ProfileStore):
    """Sessions and profiles in a database that is away."""

    def __init__(self):
        self.closed = 0

    async def close(self):
        self.closed += 1
        raise ConnectionError

    async def fail(self, *args, **kwargs):
        raise ConnectionError

    add = history = erase = prune = fail
    add_click = add_traits = profile = add_invite = invited = fail


async def context_of(store: Store) -> UserContext:
    """What a store knows of a user who has a touch, traits and a once-key."""
    touch = Session(42, 7, "gp_a", "start", NOON, "gp_a")
    with suppress(ConnectionError):
        await store.sessions.add(touch)
    with suppress(ConnectionError):
        await store.profiles.add_click("gp_a", Click(NOON))
    await store.outbox.add_keys([key("k")])
    return await store.load_context(ContextQuery(SessionQuery(7), keys=[key("k")]))


async def test_sessions_that_are_away_cost_nothing_else():
    context = await context_of(Store.of(Unreachable(), MemoryStore()))
    assert context.session is None
    assert context.profile == Profile()
    assert context.keys == {key("k")}
    assert {part: type(error) for part, error in context.failures.items()} == {
        "session": ConnectionError
    }


async def test_profiles_that_are_away_cost_nothing_else():
    rest = MemoryStore()
    store = Store(sessions=rest.sessions, profiles=Unreachable(), outbox=rest.outbox)
    context = await context_of(store)
    assert context.session is not None
    assert context.profile == Profile()
    assert context.keys == {key("k")}
    assert {part: type(error) for part, error in context.failures.items()} == {
        "profile": ConnectionError
    }


async def test_every_part_is_closed_also_when_one_fails(tmp_path):
    away, rest = Unreachable(), SQLiteStore(tmp_path / "gp.sqlite3")
    store = Store(sessions=away, profiles=away, outbox=rest.outbox)
    await store.open()
    with pytest.raises(ConnectionError):
        await store.close()
    assert away.closed == 1
    other = SQLiteStore(tmp_path / "gp.sqlite3")
    await other.open()  # the file is free
    await other.close()


def test_no_contract_hides_a_test_of_another():
    names = Counter(
        name
        for contract in inspect.getmro(StoreContract)
        for name in vars(contract)
        if name.startswith("test_")
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_both_clocks_advance_with_time():
    clock = ManualClock(start=1000)
    clock.advance(2.5)
    assert (clock.time(), clock.monotonic()) == (1002.5, 2.5)


def test_setting_the_wall_clock_takes_no_time():
    clock = ManualClock(start=1000)
    clock.jump(-500)
    assert (clock.time(), clock.monotonic()) == (500, 0)


def test_time_does_not_pass_backwards():
    with pytest.raises(ValueError, match=r"jump\(\)"):
        ManualClock().advance(-1)
