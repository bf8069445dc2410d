"""Lists events for people, where an outbox has no better way than ``select``."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from itertools import groupby
from typing import Protocol

from gp_aiogram.model.event import Event
from gp_aiogram.stores.records import Delivery, DeliveryFilter, EventRecord, Span

#: Deliveries read at a time.
_PAGE = 500

#: Sorts behind every name of a destination.
_LAST_NAME = "\U0010ffff"

#: Of whatever is never looked at.
_NEVER = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Selecting(Protocol):
    """Whatever selects deliveries, as an outbox does."""

    async def select(
        self,
        where: DeliveryFilter,
        *,
        limit: int = 100,
        after: Delivery | None = None,
    ) -> list[Delivery]:
        """Return deliveries, oldest event first."""


def of_events(where: DeliveryFilter) -> DeliveryFilter:
    """Return a filter without what it says of deliveries."""
    return replace(where, destination=None, states=None, maybe_delivered=None, unclaimed=False)


async def events_by_select(
    outbox: Selecting,
    where: DeliveryFilter,
    span: Span,
) -> list[EventRecord]:
    """Return events with their deliveries; see :meth:`Outbox.events`."""
    found: deque[int] = deque(maxlen=span.limit if span.newest else None)
    async for delivery in _selected(outbox, where, span):
        if delivery.seq not in found:
            if len(found) == span.limit and not span.newest:
                break
            found.append(delivery.seq)
    if not found:
        return []
    whole = Span(after=found[0] - 1, before=found[-1] + 1)
    deliveries = [each async for each in _selected(outbox, of_events(where), whole)]
    records = [each for each in _grouped(deliveries) if each.seq in found]
    return records[::-1] if span.newest else records


async def _selected(
    outbox: Selecting,
    where: DeliveryFilter,
    span: Span,
) -> AsyncIterator[Delivery]:
    """Yield deliveries within a span, oldest event first."""
    last = _place(span.after)
    while page := await outbox.select(where, limit=_PAGE, after=last):
        for delivery in page:
            if span.before is not None and delivery.seq >= span.before:
                return
            yield delivery
        last = page[-1]


def _place(seq: int) -> Delivery:
    """Return what stands for the end of an event among deliveries."""
    event = Event("none", "none", _NEVER, 1)
    return Delivery(event, _LAST_NAME, "pending", 0, _NEVER, _NEVER, seq=seq)


def _grouped(deliveries: Iterable[Delivery]) -> list[EventRecord]:
    """Put the deliveries of each event together; it was accepted before the first was tried."""
    groups: list[Sequence[Delivery]] = [
        list(group) for _, group in groupby(deliveries, key=lambda delivery: delivery.seq)
    ]
    return [
        EventRecord(group[0].seq, group[0].event, min(each.since for each in group), group)
        for group in groups
    ]
