"""A wall clock that jumps a day, both ways, while a bot records and a courier delivers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from fixtures.delivery import ALL, DAY, HOUR
from fixtures.fault_table import RUNS, Table
from gp_aiogram import DeliveryFailed, Destination, Event, MemoryStore, SQLiteStore
from gp_aiogram.delivery.lane import Lane
from gp_aiogram.model.event import utc_from_timestamp
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.records import DeliveryFilter, Entry
from gp_aiogram.testing import ManualClock

SEEDS = 20 * RUNS

#: Seconds that a clock is set ahead or back.
JUMPS = (-DAY, DAY, -HOUR, HOUR)

#: Delivered within so many seconds of real time after the last fault.
SOON = 3 * HOUR


class Unsteady(Destination):
    """Takes what it is given, now and then."""

    name = "shop"

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self.is_up = True
        self.taken: list[str] = []

    async def send(self, events: list[Event]) -> None:  # type: ignore[override]
        if not self.is_up and self._draw.random() < 1 / 2:
            msg = "HTTP 503"
            raise DeliveryFailed(msg)
        self.taken += [event.event_id for event in events]


STORES = {
    "memory": lambda folder, clock: MemoryStore(clock=clock),
    "sqlite": lambda folder, clock: SQLiteStore(folder / "gp.sqlite3", clock=clock),
}


@pytest.mark.parametrize("make", STORES.values(), ids=STORES)
async def test_a_clock_that_jumps_costs_no_event_and_no_day(
    tmp_path: Path, table: Table, make: object
) -> None:
    for seed in range(SEEDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        clock, draw = ManualClock(), Random(seed)
        store = make(folder, clock)  # type: ignore[operator]
        await store.open()
        told, taken, jumps = await live(store, clock, draw)
        await store.close()
        lost = told - {*taken}
        table.add(
            "clock set a day ahead or back",
            seeds=1,
            faults=jumps,
            acknowledged=len(told),
            lost=len(lost),
            duplicated=len(taken) - len({*taken}),
        )
        assert not lost, f"seed {seed}"
        assert len(taken) == len({*taken})


async def live(store: Store, clock: ManualClock, draw: Random) -> tuple[set[str], list[str], int]:
    """Record and deliver with a clock that is set again and again."""
    shop = Unsteady(draw)
    lane = Lane(shop, store.outbox, clock=clock, random=lambda: 0.5)
    told: set[str] = set()
    jumps = 0
    for number in range(60):
        event = Event(f"e{number}", "REG", utc_from_timestamp(clock.time()), telegram_id=7)
        if await store.outbox.accept(Entry(event, ["shop"])) == "stored":
            told.add(event.event_id)
        shop.is_up = draw.random() < 1 / 2
        await asyncio.wait_for(lane.run_once(), 30)
        clock.advance(draw.choice([0.1, 2.0, 60.0]))
        if draw.random() < 1 / 4:
            clock.jump(draw.choice(JUMPS))
            jumps += 1
    shop.is_up = True
    end = clock.monotonic() + SOON
    while clock.monotonic() < end:
        clock.advance(max(1.0, await lane.run_once()))
    dead = DeliveryFilter(states=frozenset({"dead"}))
    assert not await store.outbox.select(dead, limit=ALL), "given up for what a clock showed"
    return told, shop.taken, jumps
