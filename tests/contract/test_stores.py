"""The stores keep the contract, and the contract's clock tells the time."""

from __future__ import annotations

import inspect
from collections import Counter

import pytest

from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.memory import MemoryStore
from gp_aiogram.stores.sqlite import SQLiteStore
from gp_aiogram.testing import (
    ManualClock,
    OutboxContract,
    ProfileStoreContract,
    SessionStoreContract,
    StoreContract,
)
from gp_aiogram.testing.samples import LEASE, claim_all, claim_one, fill

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


class TestMemoryStore(OneProcessContract):
    @pytest.fixture
    async def store(self, clock):
        store = MemoryStore(clock=clock)
        await store.open()
        yield store
        await store.close()


class TestSQLiteStore(OneProcessContract):
    @pytest.fixture
    async def store(self, clock, tmp_path):
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
