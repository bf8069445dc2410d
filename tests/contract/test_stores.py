"""The stores keep the contract, and the contract's clock tells the time."""

from __future__ import annotations

import inspect
from collections import Counter
from contextlib import suppress

import pytest

from fixtures.limited_touches import LimitedTouches
from gp_aiogram import Tracker
from gp_aiogram.errors import StoreUnavailable
from gp_aiogram.model.click import Click
from gp_aiogram.model.session import Session, SessionQuery
from gp_aiogram.stores.contract import Outbox, ProfileStore, SessionStore, Store, UserStore
from gp_aiogram.stores.memory import MemoryStore
from gp_aiogram.stores.memory.outbox import MemoryOutbox
from gp_aiogram.stores.records import (
    ContextQuery,
    DeliveryFilter,
    Outcome,
    Profile,
    Span,
    UserContext,
)
from gp_aiogram.stores.sqlite import SQLiteStore
from gp_aiogram.stores.sqlite import listing as sqlite_listing
from gp_aiogram.stores.sqlite import outbox as sqlite_outbox
from gp_aiogram.stores.sqlite import selection as sqlite_selection
from gp_aiogram.testing import (
    ManualClock,
    OutboxContract,
    ProfileStoreContract,
    SessionStoreContract,
    StoreContract,
    TriesContract,
)
from gp_aiogram.testing.listing_contract import EventListingContract, TouchListingContract
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


class LimitedContract(LimitedTouches, TouchListingContract, TriesContract, OneProcessContract):
    """What is promised by stores that limit and list touches, and keep failed tries."""

    async def test_events_without_deliveries_are_listed_too(self, outbox):
        await fill(outbox, "e1", to=())
        (record,) = await outbox.events(DeliveryFilter(), Span(newest=True))
        assert record.event.event_id == "e1"
        assert list(record.deliveries) == []
        assert list(await outbox.events(DeliveryFilter(destination="a"), Span())) == []


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


class TestSQLiteStoreInSmallPages(TriesContract, OutboxContract):
    """What takes one look otherwise takes several."""

    @pytest.fixture(params=[(1, 1), (3, 2)])
    async def store(self, clock, tmp_path, monkeypatch, request):
        window, page = request.param
        monkeypatch.setattr(sqlite_selection, "WINDOW", window)
        monkeypatch.setattr(sqlite_outbox, "PAGE", page)
        monkeypatch.setattr(sqlite_listing, "WINDOW", window)
        monkeypatch.setattr(sqlite_listing, "PAGE", page)
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


class WithoutTries(MemoryOutbox):
    """An outbox that keeps no failed tries, as those written before there were any."""

    async def settle(self, outcomes):
        await super().settle([outcome._replace(tries=None) for outcome in outcomes])


class TestOutboxWithoutTries(OutboxContract):
    @pytest.fixture
    def store(self, clock):
        return WithoutTries(clock)


class BySelect(MemoryOutbox):
    """An outbox that lists events in the way that the contract gives."""

    events = Outbox.events


class TestEventsBySelect(EventListingContract):
    @pytest.fixture
    async def store(self, clock):
        return BySelect(clock)


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


@pytest.mark.parametrize("part", ["sessions", "profiles"])
async def test_a_part_that_is_back_soon_is_worth_waiting_for(part, monkeypatch):
    store = MemoryStore()
    away = Unreachable()

    async def fail(*args, **kwargs):
        raise StoreUnavailable

    for name in ("history", "profile"):
        monkeypatch.setattr(away, name, fail)
    setattr(store, part, away)
    with pytest.raises(StoreUnavailable):
        await store.load_context(ContextQuery(SessionQuery(7), keys=[key("k")]))


def test_what_knows_users_gives_sessions_and_profiles():
    users, rest = UserStore(sessions=Unreachable(), profiles=Unreachable()), MemoryStore()
    for first in (users, Store.of(users, MemoryStore())):
        store = Store.of(first, rest)
        assert (store.sessions, store.profiles) == (users.sessions, users.profiles)
        assert store.outbox is rest.outbox
    alone = Store.of(users.sessions, rest)
    assert (alone.sessions, alone.profiles) == (users.sessions, rest.profiles)


def test_every_part_hears_how_long_things_are_kept():
    class Hearing(Unreachable):
        heard = ()

        def keep_for(self, retention):
            self.heard = (*self.heard, retention)

    sessions, profiles = Hearing(), Hearing()
    store = Store.of(UserStore(sessions=sessions, profiles=profiles), MemoryStore())
    tracker = Tracker([], store=store)
    assert sessions.heard == profiles.heard == (tracker.retention,)


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


async def test_an_outbox_that_tells_no_age_is_asked_for_its_oldest_event():
    outbox = MemoryStore().outbox
    assert await Outbox.oldest_pending(outbox, "a") is None
    await fill(outbox, "e1", "e2")
    assert 0 <= await Outbox.oldest_pending(outbox, "a") < 60
    await outbox.settle([Outcome(each, "delivered") for each in await claim_all(outbox)])
    assert await Outbox.oldest_pending(outbox, "a") is None
