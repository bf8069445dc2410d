"""Listing a SQLite file for people holds up nobody, and shows what cannot be read."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from gp_aiogram.model.session import Session
from gp_aiogram.stores.records import Change, DeliveryFilter, Outcome, Span
from gp_aiogram.stores.sqlite import SQLiteStore
from gp_aiogram.stores.sqlite import listing as module
from gp_aiogram.stores.sqlite.listing import Listing
from gp_aiogram.testing import ManualClock
from gp_aiogram.testing.samples import NOON, USER, claim_all, fill

DEAD = frozenset({"dead"})
LATEST = Span(limit=20, newest=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gp.sqlite3"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(path, clock=ManualClock())
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def efforts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The effort of each transaction that lists, in tens of steps of SQLite."""
    efforts: list[int] = []
    work = Listing.events

    def counted(self, connection, wanted):
        efforts.append(0)

        def step():
            efforts[-1] += 1

        connection.set_progress_handler(step, 10)
        try:
            return work(self, connection, wanted)
        finally:
            connection.set_progress_handler(None, 0)

    monkeypatch.setattr(Listing, "events", counted)
    return efforts


async def many(store: SQLiteStore, first: int, count: int) -> None:
    await asyncio.gather(*(fill(store.outbox, f"e{first + n}") for n in range(count)))


WANTED = {
    "the latest": (DeliveryFilter(), LATEST),
    "what is newer than the last": (DeliveryFilter(), Span(after=10**9)),
    "of one event": (DeliveryFilter(event_id="e3"), LATEST),
    "dead letters": (DeliveryFilter(states=DEAD), LATEST),
    "of one destination": (DeliveryFilter(states=DEAD, destination="a"), Span(limit=20)),
}


@pytest.mark.parametrize(("where", "span"), WANTED.values(), ids=WANTED)
async def test_listing_takes_the_same_effort_however_much_is_stored(
    store: SQLiteStore, efforts: list[int], where: DeliveryFilter, span: Span
) -> None:
    await many(store, 0, 50)
    bury = DeliveryFilter(event_id="e3")
    await store.outbox.transition(bury, Change("dead", "why"), limit=9)
    before = await store.outbox.events(where, span)
    await many(store, 50, 3000)
    after = await store.outbox.events(where, span)
    if where != DeliveryFilter():
        assert before == after
    few, lots = efforts
    assert lots <= few + 5


async def test_no_look_takes_long_however_little_it_finds(
    store: SQLiteStore, efforts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW", 20)
    await many(store, 0, 400)
    nothing = DeliveryFilter(states=frozenset({"delivered"}))
    assert await store.outbox.events(nothing, LATEST) == []
    assert len(efforts) >= 20
    assert max(efforts) < 150


async def test_listing_touches_looks_at_the_latest_alone(store: SQLiteStore) -> None:
    connection = store._file._opened.connection
    steps: list[int] = []

    async def effort() -> int:
        steps.clear()
        await connection.set_progress_handler(lambda: steps.append(1), 10)
        await store.sessions.touches(LATEST)
        await connection.set_progress_handler(None, 0)
        return len(steps)

    async def add(first: int, count: int) -> None:
        users = range(first, first + count)
        touches = [Session(42, user, f"gp_{user}", "start", NOON, "") for user in users]
        await asyncio.gather(*map(store.sessions.add, touches))

    await add(1, 30)
    few = await effort()
    await add(100, 3000)
    assert await effort() <= few + 2


async def test_an_event_that_cannot_be_read_is_shown_as_what_is_known_of_it(path: Path) -> None:
    store = SQLiteStore(path, clock=ManualClock())
    await fill(store.outbox, "good", "spoilt", "odd")
    await store.close()
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("UPDATE event SET body = '{' WHERE event_id = 'spoilt'")
        file.execute("UPDATE event SET accepted_ms = 'never' WHERE event_id = 'odd'")
        file.execute("UPDATE delivery SET since_ms = 'x' WHERE seq = 3")
    store = SQLiteStore(path, clock=ManualClock())
    odd, spoilt, good = await store.outbox.events(DeliveryFilter(), LATEST)
    assert good.deliveries[0].state == "pending"
    assert (spoilt.event.event_id, spoilt.event.telegram_id) == ("spoilt", USER)
    assert spoilt.deliveries[0].state == "dead"
    assert (spoilt.deliveries[0].reason or "").startswith("the stored event cannot be read")
    assert odd.deliveries[0].reason == "the stored delivery cannot be read"
    await store.close()


async def test_settled_deliveries_are_listed_as_they_are(store: SQLiteStore) -> None:
    await fill(store.outbox, "e1")
    claimed = await claim_all(store.outbox)
    await store.outbox.settle([Outcome(each, "delivered", receipt={"id": 5}) for each in claimed])
    (record,) = await store.outbox.events(DeliveryFilter(), LATEST)
    assert dict(record.deliveries[0].receipt) == {"id": 5}
