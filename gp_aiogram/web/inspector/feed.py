"""Follows a store: what is new in it, and what has changed of what was new lately."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from typing import NamedTuple

from gp_aiogram.model.event import Event
from gp_aiogram.stores.contract import Store
from gp_aiogram.stores.records import (
    AcceptResult,
    Delivery,
    DeliveryFilter,
    EventRecord,
    Outcome,
    Span,
    TouchRecord,
)
from gp_aiogram.telemetry import Observer
from gp_aiogram.tracker import Tracker

#: The latest events whose deliveries are watched, and what is read at a time.
WATCHED, PAGE = 200, 500

#: Touches before the last one that are looked at again, since writers may overtake each other.
_OVERLAP = 50

#: Seconds for which the same is true of events in a store that several processes write.
_OVERTAKING = 10.0

#: Seconds between two looks: when nothing is heard, and when something is.
SLOW_LOOK, QUICK_LOOK = 1.0, 0.2

_ANY = DeliveryFilter()

_CURSOR = re.compile(r"e([0-9]{1,18})\.s([0-9]{1,18})")


class Cursor(NamedTuple):
    """How far somebody has read.

    :param seq: number of the last event.
    :param touch: number of the last touch.
    """

    seq: int
    touch: int

    def __str__(self) -> str:
        return f"e{self.seq}.s{self.touch}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """Read what :meth:`__str__` wrote; None when it is something else."""
        match = _CURSOR.fullmatch(text)
        return None if match is None else cls(int(match[1]), int(match[2]))


class News(NamedTuple):
    """What a look has found.

    :param events: that were not there, oldest first.
    :param changed: events that were there, as they are now.
    :param cursor: whoever goes on from here misses nothing.
    """

    events: Sequence[EventRecord]
    changed: Sequence[EventRecord]
    touches: Sequence[TouchRecord]
    cursor: Cursor


class Feed:
    """Tells any number of readers what happens in a tracker's store.

    The store is asked, since other processes record and deliver, too: for what has a higher number
    than what was read, and for what is still pending of the latest. What this process does itself
    is noticed at once. Without a reader nothing is asked.

    :param tracker: its store is followed.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._store = tracker.store
        self._bell = _Bell()
        self._closed = False
        tracker.observe(self._bell)

    def close(self) -> None:
        """End every following."""
        self._closed = True
        self._bell.ring()

    async def latest(self) -> Cursor:
        """Return the place of whoever wants to know nothing of the past."""
        newest = Span(limit=1, newest=True)
        events = await self._store.outbox.events(_ANY, newest)
        touches = await self._store.sessions.touches(newest) or ()
        return Cursor(
            events[0].seq if events else 0,
            touches[0].number if touches else 0,
        )

    async def follow(self, cursor: Cursor) -> AsyncIterator[News]:
        """Yield what is new, as often as something may be, also when nothing is.

        The latest events before the cursor come first, as changed.

        :param cursor: how far the reader has read.
        :raises StoreError: when the store failed.
        """
        reader = _Reader(self._store, cursor)
        yield await reader.look_back()
        while not self._closed:
            news = await reader.look()
            yield news
            if len(news.events) + len(news.touches) < PAGE and not self._closed:
                await self._bell.wait(SLOW_LOOK)
                await asyncio.sleep(QUICK_LOOK)


class _Bell(Observer):
    """Rings when this process has recorded or settled something."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake everybody who waits."""
        self._rung.set()
        self._rung = asyncio.Event()

    async def wait(self, seconds: float) -> None:
        """Wait for the next ringing, so many seconds at most."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._rung.wait(), seconds)

    def accepted(self, event: Event, result: AcceptResult, seconds: float) -> None:
        """Note that an event was stored."""
        del event, result, seconds
        self.ring()

    def settled(self, outcomes: Sequence[Outcome], now: object) -> None:
        """Note that deliveries have changed."""
        del outcomes, now
        self.ring()


#: What of a delivery people see change.
_Face = tuple[object, ...]


class _Reader:
    """Remembers what one reader has been told.

    :param cursor: how far it has read.
    """

    def __init__(self, store: Store, cursor: Cursor) -> None:
        self._outbox = store.outbox
        self._sessions = store.sessions
        self._cursor = cursor
        #: Events up to these numbers are not looked at: when nothing tells of a change, and ever.
        self._floor = self._lowest = cursor.seq
        self._counts: object = None
        self._told: dict[int, _Face] = {}
        self._touches: dict[int, None] = {}

    async def look_back(self) -> News:
        """Return the latest events that the reader knows, as they are now."""
        known = Span(before=self._cursor.seq + 1, limit=WATCHED, newest=True)
        events = [*reversed(await self._outbox.events(_ANY, known))]
        self._tell(events)
        self._counts = await self._outbox.counts()
        self._lowest = min((each.seq - 1 for each in events), default=self._lowest)
        self._floor = min(
            (each.seq - 1 for each in events if _is_pending(each)), default=self._floor
        )
        after = max(0, self._cursor.touch - _OVERLAP)
        lately = Span(after=after, before=self._cursor.touch + 1)
        self._touches = dict.fromkeys(
            each.number for each in await self._sessions.touches(lately) or ()
        )
        return News((), events, (), self._cursor)

    async def look(self) -> News:
        """Return what is new, and what has changed."""
        # Also what was final may change, by a replay: the counts tell, which cost nothing.
        counts, before = await self._outbox.counts(), self._counts
        floor = self._floor if counts == before else self._lowest
        events = await self._outbox.events(_ANY, Span(after=floor, limit=PAGE))
        self._counts = counts
        told = self._told
        new = [each for each in events if each.seq not in told]
        changed = [each for each in events if each.seq in told and told[each.seq] != _face(each)]
        self._tell(events)
        if events:
            self._lift_floor(events)
        touches = await self._new_touches()
        self._cursor = Cursor(
            max(self._cursor.seq, self._safe_seq(events)),
            max((each.number for each in touches), default=self._cursor.touch),
        )
        return News(new, changed, touches, self._cursor)

    async def _new_touches(self) -> list[TouchRecord]:
        after = max(0, self._cursor.touch - _OVERLAP)
        listed = await self._sessions.touches(Span(after=after, limit=PAGE)) or ()
        new = [each for each in listed if each.number not in self._touches]
        self._touches.update(dict.fromkeys(each.number for each in new))
        for number in [*self._touches][: -4 * _OVERLAP]:
            del self._touches[number]
        return new

    def _tell(self, events: Sequence[EventRecord]) -> None:
        self._told.update((each.seq, _face(each)) for each in events)

    def _lift_floor(self, events: Sequence[EventRecord]) -> None:
        """Look rarely at what is final, and never at what is not among the latest."""
        self._lowest = max(self._lowest, sorted(self._told)[-WATCHED:][0] - 1)
        pending = [each.seq - 1 for each in events if _is_pending(each)]
        self._floor = max(self._floor, self._lowest, min([self._safe_seq(events), *pending]))
        for seq in [*self._told]:
            if seq <= self._lowest:
                del self._told[seq]

    def _safe_seq(self, events: Sequence[EventRecord]) -> int:
        """Return the last number before which nothing new can appear."""
        if not events:
            return self._floor if self._outbox.one_process else self._cursor.seq
        if self._outbox.one_process:
            return events[-1].seq
        now = datetime.now(timezone.utc)
        old = [each.seq for each in events if (now - each.accepted).total_seconds() > _OVERTAKING]
        return max(old, default=self._cursor.seq)


def _face(record: EventRecord) -> _Face:
    return tuple(map(_delivery_face, record.deliveries))


def _delivery_face(delivery: Delivery) -> _Face:
    return delivery.state, delivery.attempts, delivery.due, delivery.reason, delivery.batch_cap


def _is_pending(record: EventRecord) -> bool:
    return any(each.state == "pending" for each in record.deliveries)
