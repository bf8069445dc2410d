"""Cuts the power while a SQLite store works: what it has acknowledged must be there after.

The disk is one that forgets what was not synced, wholly or in part; every seed gives the same
run again. It tests what the store asks of SQLite and of the system, not whether a real disk keeps
its promises.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fixtures.delivery import ALL
from fixtures.disk import Disk, lay_under_python
from fixtures.fault_table import RUNS, Table
from fixtures.sqlite_on_disk import lay_under_sqlite
from gp_aiogram import SQLiteStore, StoreError
from gp_aiogram.model.session import Session
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.keys import OnceKey
from gp_aiogram.stores.records import DeliveryFilter, Entry, Outcome
from gp_aiogram.stores.sqlite import file as file_module
from gp_aiogram.stores.sqlite import schema
from gp_aiogram.testing.samples import CLICK, NOON, sample

SEEDS = 300 * RUNS

#: Lives of a store until it is looked at; each but the last ends by a power cut.
LIVES = 3

SETTLED = ("delivered", "dead")


@dataclass
class Told:
    """What a store has acknowledged."""

    accepted: set[str] = field(default_factory=set)
    settled: dict[str, str] = field(default_factory=dict)
    keys: set[OnceKey] = field(default_factory=set)
    sessions: set[str] = field(default_factory=set)
    clicks: set[str] = field(default_factory=set)

    def __len__(self) -> int:
        return sum(map(len, vars(self).values()))


class Work:
    """Does everything that a bot and its courier do, as a seed decides."""

    def __init__(self, store: Store, draw: Random, told: Told, first: int) -> None:
        self._store = store
        self._outbox = store.outbox
        self._draw = draw
        self._told = told
        self.number = first

    async def go_on(self) -> None:
        """Work until the store fails."""
        await self._store.open()
        while True:
            await self.step()

    async def step(self) -> None:
        """Do one thing."""
        steps = (self._accept, self._deliver, self._know, self._reopen)
        await self._draw.choices(steps, [6, 4, 2, 1])[0]()

    async def _accept(self) -> None:
        size = self._draw.choice([0, 0, 0, 9_000])
        count = self._draw.choice([1, 2, 16])
        numbers = range(self.number, self.number + count)
        self.number += count
        await _all(*(self._accept_one(number, size) for number in numbers))

    async def _accept_one(self, number: int, size: int) -> None:
        event = sample(f"e{number}", telegram_id=number + 1, user_data={"x": "x" * size})
        once = OnceKey("order", str(number), "")
        entry = Entry(event, ["a"], frozenset({once}))
        if await self._outbox.accept(entry) == "stored":
            self._told.accepted.add(event.event_id)
            self._told.keys.add(once)

    async def _deliver(self) -> None:
        claim = await self._outbox.claim("a", self._draw.choice([1, 8]), lease=60)
        outcomes = [
            Outcome(delivery, self._draw.choice(SETTLED), receipt={"n": number})
            for number, delivery in enumerate(claim.deliveries)
        ]
        await self._outbox.settle(outcomes)
        for delivery, state, *_ in outcomes:
            self._told.settled[delivery.event.event_id] = state

    async def _know(self) -> None:
        self.number += 1
        session_id = f"gp_{self.number}"
        touch = Session(42, self.number, session_id, "start", NOON, session_id)
        await self._store.sessions.add(touch)
        self._told.sessions.add(session_id)
        await self._store.profiles.add_click(session_id, CLICK)
        self._told.clicks.add(session_id)

    async def _reopen(self) -> None:
        """Close in good order, which checkpoints."""
        await self._store.close()
        await self._store.open()


async def _all(*calls: Any) -> None:
    """Wait for all, whatever fails, then fail."""
    for result in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


@contextmanager
def laid(disk: Disk, draw: Random) -> Iterator[pytest.MonkeyPatch]:
    """Have everything in the disk's folder go through the disk, and nothing else be random."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "new_salt", lambda: draw.randbytes(16))
        lay_under_python(disk, patch)
        let_go = lay_under_sqlite(disk, patch)
        yield patch
    let_go()


async def live(path: Path, draw: Random, told: Told, first: int) -> int:
    """Work until the power fails, and return how far the work has got."""
    store = SQLiteStore(path)
    work = Work(store, draw, told, first)
    with pytest.raises(StoreError):
        await work.go_on()
    with suppress(StoreError):
        await store.close()
    return work.number


async def run(folder: Path, seed: int, pragmas: str | None = None) -> tuple[Told, Disk, list[str]]:
    """Live several lives on one disk, and return what was acknowledged and is gone."""
    draw, told = Random(seed), Told()
    disk, path, number = Disk(folder, seed), folder / "gp.sqlite3", 0
    for _ in range(LIVES):
        with laid(disk, draw) as patch:
            if pragmas is not None:
                patch.setattr(file_module, "_PRAGMAS", pragmas)
            disk.cut_power_after(draw.randrange(1, draw.choice([30, 300, 1500])))
            number = await live(path, draw, told, number)
            assert disk.is_cut
        disk.restore()
    return told, disk, await missing(path, told)


async def missing(path: Path, told: Told) -> list[str]:
    """Look with an ordinary SQLite at what is there, and name what should be."""
    store = SQLiteStore(path)
    await store.open()
    try:
        found = await store.outbox.select(DeliveryFilter(), limit=ALL)
        states = {delivery.event.event_id: delivery.state for delivery in found}
        assert len(states) == len(found), "an event is there twice"
        gone = [f"event {one}" for one in told.accepted - states.keys()]
        gone += [
            f"outcome of {one}" for one, state in told.settled.items() if states.get(one) != state
        ]
        gone += map(str, told.keys - await store.outbox.known_keys(told.keys))
        for session_id in told.sessions:
            if not await store.sessions.touches_of(session_id):
                gone.append(f"touch {session_id}")
        for session_id in told.clicks:
            if (await store.profiles.profile(1, session_id)).click is None:
                gone.append(f"click {session_id}")
        # What was not acknowledged is there as a whole or not at all.
        for event_id in states:
            again = Entry(sample(event_id), ["a"])
            assert await store.outbox.accept(again) == "duplicate"
    finally:
        await store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        orphans = (
            "SELECT count(*) FROM event LEFT JOIN delivery USING (seq) WHERE destination IS NULL"
        )
        assert connection.execute(orphans).fetchall() == [(0,)]
    return gone


@pytest.mark.parametrize("part", range(10))
async def test_what_was_acknowledged_survives_a_power_cut(
    tmp_path: Path, table: Table, part: int
) -> None:
    for seed in range(part * SEEDS // 10, (part + 1) * SEEDS // 10):
        folder = tmp_path / str(seed)
        folder.mkdir()
        told, _, gone = await run(folder, seed)
        table.add(
            "power loss, SQLite", seeds=1, faults=LIVES, acknowledged=len(told), lost=len(gone)
        )
        assert not gone, f"seed {seed}"


async def test_a_seed_gives_the_same_run_again(tmp_path: Path) -> None:
    runs = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        told, disk, _ = await run(tmp_path / name, 5)
        runs.append((vars(told), disk.operations))
    assert runs[0] == runs[1]


@pytest.mark.parametrize("level", ["OFF", "NORMAL"])
async def test_a_store_that_does_not_sync_is_found_out(tmp_path: Path, level: str) -> None:
    """The harness can fail: with less of synchronous, the same seeds lose what was told."""
    pragmas = file_module._PRAGMAS.replace("synchronous = FULL", f"synchronous = {level}")
    assert pragmas != file_module._PRAGMAS
    bad = 0
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        try:
            _, _, gone = await run(folder, seed, pragmas)
        except (StoreError, AssertionError, sqlite3.Error):
            gone = ["the file cannot be used any more"]
        bad += bool(gone)
    assert bad >= 5
