"""What a page that follows a store is told: everything once, and every change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone

import pytest

from gp_aiogram import MemoryStore, Tracker
from gp_aiogram.model.session import Session
from gp_aiogram.stores.records import Change, DeliveryFilter, Entry
from gp_aiogram.testing.samples import entry, sample
from gp_aiogram.web.inspector import feed as module
from gp_aiogram.web.inspector.feed import WATCHED, Cursor, Feed, News

ANY = DeliveryFilter()


@pytest.fixture(params=[True, False])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    store = MemoryStore()
    store.outbox.one_process = request.param
    return store


@pytest.fixture
def feed(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Feed:
    monkeypatch.setattr(module, "SLOW_LOOK", 0.01)
    monkeypatch.setattr(module, "QUICK_LOOK", 0.0)
    return Feed(Tracker([], store=store, journal=None))


async def look(reader: AsyncIterator[News]) -> News:
    return await asyncio.wait_for(anext(reader), 5)


def ids(records) -> list[str]:
    return [record.event.event_id for record in records]


async def add(store: MemoryStore, *event_ids: str) -> None:
    for event_id in event_ids:
        await store.outbox.accept(entry(event_id))


async def test_what_is_new_is_told_once(feed: Feed, store: MemoryStore) -> None:
    await add(store, "e1")
    reader = feed.follow(await feed.latest())
    assert ids((await look(reader)).changed) == ["e1"]
    assert ids((await look(reader)).events) == []
    await add(store, "e2", "e3")
    news = await look(reader)
    assert (ids(news.events), ids(news.changed)) == (["e2", "e3"], [])
    assert not (await look(reader)).events


async def test_a_change_of_a_delivery_is_told_once(feed: Feed, store: MemoryStore) -> None:
    await add(store, "e1", "e2")
    reader = feed.follow(Cursor(0, 0))
    await look(reader)
    await look(reader)
    pending = DeliveryFilter(event_id="e1")
    await store.outbox.transition(pending, Change("dead", "why"), limit=9)
    news = await look(reader)
    assert ids(news.changed) == ["e1"]
    assert news.changed[0].deliveries[0].reason == "why"
    assert not (await look(reader)).changed


async def test_a_change_during_an_interruption_is_told(feed: Feed, store: MemoryStore) -> None:
    await add(store, "e1")
    reader = feed.follow(Cursor(0, 0))
    await look(reader)
    cursor = (await look(reader)).cursor
    await store.outbox.transition(ANY, Change("dead", "why"), limit=9)
    await add(store, "e2")
    again = feed.follow(Cursor.parse(str(cursor)) or Cursor(9, 9))
    first, second = await look(again), await look(again)
    told = {each.event.event_id: each for each in (*first.changed, *second.events)}
    assert told["e1"].deliveries[0].state == "dead"
    assert "e2" in told


async def test_nothing_is_lost_however_much_there_is(feed: Feed, store: MemoryStore) -> None:
    count = 3 * module.PAGE + 7
    for number in range(count):
        await store.outbox.accept(Entry(sample(f"e{number}"), ["a"]))
    reader = feed.follow(Cursor(0, 0))
    told: list[str] = []
    while len(told) < count:
        told += ids((await look(reader)).events)
    assert told == [f"e{number}" for number in range(count)]
    assert not (await look(reader)).events


async def test_only_the_latest_are_watched(feed: Feed, store: MemoryStore) -> None:
    for number in range(WATCHED + 10):
        await store.outbox.accept(Entry(sample(f"e{number}"), ["a"]))
    reader = feed.follow(Cursor(0, 0))
    for _ in range(5):
        await look(reader)
    asked: list[int] = []
    events = store.outbox.events

    async def counted(where, span):
        found = await events(where, span)
        asked.append(len(found))
        return found

    store.outbox.events = counted
    await look(reader)
    assert asked == [WATCHED]


async def test_touches_are_told_once_also_late_ones(feed: Feed, store: MemoryStore) -> None:
    now = datetime.now(timezone.utc)
    reader = feed.follow(Cursor(0, 0))
    await look(reader)
    for number, at in enumerate([now, now - timedelta(days=1), now]):
        await store.sessions.add(Session(1, number + 1, f"gp_{number}", "start", at, ""))
    news = await look(reader)
    assert [each.session.session_id for each in news.touches] == ["gp_0", "gp_1", "gp_2"]
    assert not (await look(reader)).touches
    again = feed.follow(news.cursor)
    assert not (await look(again)).touches
    assert not (await look(again)).touches


async def test_what_this_process_does_is_noticed_at_once(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLOW_LOOK", 60.0)
    monkeypatch.setattr(module, "QUICK_LOOK", 0.0)
    tracker = Tracker([], store=store, journal=None)
    feed = Feed(tracker)
    reader = feed.follow(await feed.latest())
    await look(reader)
    await look(reader)
    waiting = asyncio.create_task(anext(reader))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await tracker.track("REG", telegram_id=7, event_id="e1")
    assert ids((await asyncio.wait_for(waiting, 5)).events) == ["e1"]
    await tracker.close(grace=0)


async def test_a_feed_that_is_closed_ends(feed: Feed) -> None:
    reader = feed.follow(Cursor(0, 0))
    await look(reader)
    feed.close()
    assert [news async for news in reader] in ([], [News((), (), (), Cursor(0, 0))])


@pytest.mark.parametrize(
    "text", ["", "e1", "e1.s", "e-1.s1", "e1.s1 ", "x", "e" + "9" * 30 + ".s1"]
)
def test_a_cursor_that_is_none_is_not_read(text: str) -> None:
    assert Cursor.parse(text) is None


async def test_events_that_overtake_others_are_not_lost() -> None:
    """In a database a lower number may appear after a higher one."""
    store = MemoryStore()
    store.outbox.one_process = False
    for event_id in ("e1", "e2", "e3"):
        await store.outbox.accept(entry(event_id))
    held = store.outbox._table._events.pop(2)
    feed = Feed(Tracker([], store=store, journal=None))
    reader = feed.follow(Cursor(0, 0))
    await look(reader)
    news = await look(reader)
    assert ids(news.events) == ["e1", "e3"]
    events = {1: store.outbox._table._events[1], 2: held, 3: store.outbox._table._events[3]}
    store.outbox._table._events = events
    assert ids((await look(reader)).events) == ["e2"]
    again = feed.follow(news.cursor)
    back, ahead = await look(again), await look(again)
    assert "e2" in ids([*back.changed, *ahead.events])
