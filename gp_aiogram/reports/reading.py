"""Reads a store page by page, so that others get their turn, and counts what is in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo

from gp_aiogram.model.session import Session
from gp_aiogram.reports.coverage import Coverage, CoverageTally
from gp_aiogram.reports.deliveries import DeliveryTally, Flow
from gp_aiogram.reports.funnel import Funnel, FunnelTally
from gp_aiogram.stores.contract import Outbox, SessionStore, Store
from gp_aiogram.stores.records import DeliveryFilter, EventRecord, Span

#: Events, or touches, read at a time, so few that handlers do not notice, and in all.
PAGE, MOST = 100, 200_000

_ANY = DeliveryFilter()


@dataclass(frozen=True)
class Report:
    """The totals of a period.

    :param coverage_by_name: by the names of events.
    :param flows: by destination.
    :param lists_touches: False if the session store cannot list touches; sessions are not
        counted then.
    :param complete: False if there was more to read; the latest was counted.
    """

    since: datetime
    until: datetime
    funnel: Funnel
    coverage: Coverage
    coverage_by_name: dict[str, Coverage]
    flows: dict[str, list[Flow]]
    lists_touches: bool
    complete: bool


async def read_report(
    store: Store,
    since: datetime,
    until: datetime,
    *,
    zone: tzinfo = timezone.utc,
    hourly: bool = False,
    most: int = MOST,
) -> Report:
    """Count what is stored for a period.

    A touch counts when it was made, an event when it happened, a delivery when it ended.

    :param zone: where a day begins and ends.
    :param hourly: count deliveries by hour instead of by day.
    :param most: the most events, and the most touches, to read; the latest ones.
    :raises StoreError: when the store failed.
    """
    funnel, coverage = FunnelTally(zone), CoverageTally()
    deliveries = DeliveryTally(since, until, hourly=hourly, zone=zone)
    lists_touches = await store.sessions.touches(Span(limit=1, newest=True)) is not None
    touches = events = 0
    async for touch in _touches(store.sessions, since, most):
        touches += 1
        if since <= touch.at <= until:
            funnel.add_touch(touch)
        else:
            funnel.learn(touch)
    async for record in _events(store.outbox, since, most):
        events += 1
        deliveries.add(record)
        if since <= record.event.event_time <= until:
            funnel.add_event(record.event, _receivers(record))
            coverage.add(record.event)
    return Report(
        since=since,
        until=until,
        funnel=funnel.result(),
        coverage=coverage.total(),
        coverage_by_name=coverage.by_name(),
        flows=deliveries.result(),
        lists_touches=lists_touches,
        complete=max(touches, events) < most,
    )


async def _touches(sessions: SessionStore, since: datetime, most: int) -> AsyncIterator[Session]:
    """Yield touches, the latest first, until a whole page of them is too old."""
    span = Span(limit=PAGE, newest=True)
    left = most
    while left > 0 and (page := await sessions.touches(span)):
        for record in page[:left]:
            yield record.session
        left -= len(page)
        if all(record.session.at < since for record in page):
            return
        span = span._replace(before=page[-1].number)


async def _events(outbox: Outbox, since: datetime, most: int) -> AsyncIterator[EventRecord]:
    """Yield events, the latest first, until a whole page of them was accepted too early."""
    span = Span(limit=PAGE, newest=True)
    left = most
    while left > 0 and (page := await outbox.events(_ANY, span)):
        for record in page[:left]:
            yield record
        left -= len(page)
        if all(_is_over(record, since) for record in page):
            return
        span = span._replace(before=page[-1].seq)


def _receivers(record: EventRecord) -> list[str]:
    return [each.destination for each in record.deliveries if each.state == "delivered"]


def _is_over(record: EventRecord, since: datetime) -> bool:
    return all(moment < since for moment in (record.accepted, *_endings(record)))


def _endings(record: EventRecord) -> list[datetime]:
    return [delivery.due for delivery in record.deliveries]
