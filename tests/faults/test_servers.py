"""Servers that are killed, and connections that are cut in mid-commit, while trackers record.

Two trackers stand in for two processes of one folder: each has a journal of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random

import pytest

from fixtures.delivery import ALL
from fixtures.fault_table import RUNS, Table
from fixtures.postgres import require_server
from fixtures.postgres_server import OwnServer, Proxy
from fixtures.recorder import Recorder
from gp_aiogram import PostgresStore, Tracker
from gp_aiogram.stores.records import DeliveryFilter
from gp_aiogram.tracker import journal_queue

#: Times that the server is killed, and that a connection is cut.
KILLS, CUTS = 4 * RUNS, 20 * RUNS

#: Seconds for what happens after a server is back, on a slow machine too.
PATIENCE = 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    require_server()
    server = OwnServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@asynccontextmanager
async def trackers(dsn: str, folder: Path) -> AsyncIterator[list[Tracker]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                Tracker([Recorder()], store=PostgresStore(dsn), journal=folder / "gp.journal")
            )
            for _ in range(2)
        ]


class Shop:
    """Tells trackers of orders all the time, and notes what was acknowledged."""

    def __init__(self, trackers: list[Tracker]) -> None:
        self._trackers = trackers
        self._orders = count()
        self._open = True
        self.told: list[str] = []

    async def sell(self, draw: Random) -> None:
        while self._open:
            order = next(self._orders)
            event = await draw.choice(self._trackers).track(
                "Purchase",
                telegram_id=order + 1,
                bot_id=42,
                value=5,
                once=order,
                event_id=f"e{order}",
                on_outage="journal",
            )
            assert event is not None
            self.told.append(event.event_id)
            await asyncio.sleep(draw.uniform(0, 0.01))

    def close(self) -> None:
        self._open = False


async def settled(trackers: list[Tracker]) -> None:
    """Wait until no journal has anything left."""
    await until(lambda: not any(tracker.intake.waiting for tracker in trackers))


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "this takes too long"
        await asyncio.sleep(0.005)


async def assert_all_is_there(shop: Shop, tracker: Tracker, table: Table, fault: str) -> None:
    found = await tracker.store.outbox.select(DeliveryFilter(), limit=ALL)
    there = [delivery.event.event_id for delivery in found]
    table.add(
        fault,
        acknowledged=len(shop.told),
        lost=len({*shop.told} - {*there}),
        duplicated=len(there) - len({*there}),
    )
    assert {*shop.told} <= {*there}
    assert len(there) == len({*there})


async def test_a_server_that_is_killed_costs_nothing(
    server: OwnServer, tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_queue, "_PAUSE", 0.05)
    draw = Random(7)
    async with trackers(server.dsn(), tmp_path) as both:
        shop = Shop(both)
        selling = [asyncio.create_task(shop.sell(Random(n))) for n in range(6)]
        for _ in range(KILLS):
            await asyncio.sleep(draw.uniform(0.1, 0.4))
            server.kill()
            await asyncio.sleep(draw.uniform(0, 0.3))
            await asyncio.to_thread(server.start)
        await asyncio.sleep(0.3)
        shop.close()
        await asyncio.gather(*selling)
        await settled(both)
        assert sum(tracker.counts["journaled"] for tracker in both)
        table.add("kill -9 of a PostgreSQL server", kills=KILLS)
        await assert_all_is_there(shop, both[0], table, "kill -9 of a PostgreSQL server")
    assert {path.suffix for path in tmp_path.iterdir()} <= {".lock"}


async def test_connections_that_are_cut_in_mid_commit_cost_nothing(
    server: OwnServer, tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the cuts hide the server's answer, half keep the commit from the server."""
    monkeypatch.setattr(journal_queue, "_PAUSE", 0.05)
    proxy = Proxy(server.port)
    port = await proxy.start()
    dsn = server.dsn().replace(str(server.port), str(port)) + "?schema=cut"
    async with trackers(dsn, tmp_path) as both:
        shop = Shop(both)
        selling = [asyncio.create_task(shop.sell(Random(n))) for n in range(6)]
        for number in range(CUTS):
            proxy.word, proxy.passes_word = b"COMMIT\0", number % 2 == 0
            await until(lambda cuts=number: proxy.cuts > cuts)
        shop.close()
        await asyncio.gather(*selling)
        await settled(both)
        table.add("connection cut in mid-commit, PostgreSQL", faults=CUTS)
        await assert_all_is_there(shop, both[0], table, "connection cut in mid-commit, PostgreSQL")
    await proxy.stop()
