"""The stores keep the contract, and the contract's clock tells the time."""

from __future__ import annotations

import pytest

from gp_aiogram.stores.memory.store import MemoryStore
from gp_aiogram.stores.sqlite.store import SQLiteStore
from gp_aiogram.testing import ManualClock, StoreContract
from gp_aiogram.testing.samples import LEASE, claim_one, fill

DAY = 24 * 60 * 60.0


class OneProcessContract(StoreContract):
    """What is promised by stores whose claims are in the memory of one process."""

    @pytest.mark.parametrize("jump", [-10 * DAY, 10 * DAY])
    async def test_setting_the_wall_clock_ends_no_lease(self, store, clock, jump):
        await fill(store, "e1")
        await claim_one(store)
        clock.jump(jump)
        assert await store.claim("a", 1, lease=LEASE) == []
        clock.advance(LEASE)
        assert len(await store.claim("a", 1, lease=LEASE)) == 1


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
