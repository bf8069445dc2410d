"""Stored events with their deliveries, and what they are found by."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from gp_aiogram.model.event import Event
from gp_aiogram.stores.leases import Leases
from gp_aiogram.stores.listing import of_events
from gp_aiogram.stores.memory.pending import PendingQueue
from gp_aiogram.stores.records import Delivery, DeliveryFilter, EventRecord, Span, State

#: What tells a delivery from others: the number of its event, and its destination.
Key = tuple[int, str]


def key_of(delivery: Delivery) -> Key:
    """Return what tells a delivery from others; keys sort as deliveries are listed."""
    return delivery.seq, delivery.destination


@dataclass(eq=False)
class StoredEvent:
    """An event as it is kept.

    :param accepted: when, in UTC.
    :param deliveries: by destination, in the order of their names.
    """

    seq: int
    event: Event
    order: str | None
    accepted: datetime
    deliveries: dict[str, Delivery] = field(default_factory=dict)

    def is_meant(self, where: DeliveryFilter) -> bool:
        """Return whether the event is what a filter says of events."""
        event = self.event
        return (
            where.event_id in (None, event.event_id)
            and where.order in (None, self.order)
            and where.telegram_id in (None, event.telegram_id)
            and (where.bot_id is None or event.bot_id in (None, where.bot_id))
            and (where.accepted_before is None or self.accepted < where.accepted_before)
        )


class EventTable:
    """Every stored event by its number, which is the order of acceptance.

    :param leases: what is claimed.
    """

    def __init__(self, leases: Leases[Key]) -> None:
        self._leases = leases
        self._events: dict[int, StoredEvent] = {}
        #: By event id, user and order: the field of :class:`DeliveryFilter`, and its value.
        self._related: dict[tuple[str, object], dict[int, StoredEvent]] = {}
        self._by_state: dict[tuple[str, State], set[int]] = defaultdict(set)
        #: By destination, and whether the deliveries have a batch cap.
        self._pending: dict[tuple[str, bool], PendingQueue] = defaultdict(PendingQueue)

    def __getitem__(self, key: Key) -> Delivery:
        seq, destination = key
        return self._events[seq].deliveries[destination]

    def add(self, stored: StoredEvent) -> None:
        """Keep an event."""
        self._events[stored.seq] = stored
        for relation in _relations(stored):
            self._related.setdefault(relation, {})[stored.seq] = stored

    def remove(self, stored: StoredEvent) -> None:
        """Take an event out, with its deliveries."""
        for delivery in stored.deliveries.values():
            self._unlist(delivery)
        del self._events[stored.seq]
        for relation in _relations(stored):
            related = self._related[relation]
            del related[stored.seq]
            if not related:
                del self._related[relation]

    def put(self, delivery: Delivery) -> None:
        """Keep a delivery, in place of what it was before."""
        deliveries = self._events[delivery.seq].deliveries
        before = deliveries.get(delivery.destination)
        if before is not None:
            self._unlist(before)
        deliveries[delivery.destination] = delivery
        self._by_state[delivery.destination, delivery.state].add(delivery.seq)
        if delivery.state == "pending":
            self._queue_of(delivery).add(delivery.due, delivery.seq)

    def with_id(self, event_id: str) -> Collection[StoredEvent]:
        """Return the events of an id, oldest first; they differ in their names."""
        return self._related.get(("event_id", event_id), {}).values()

    def of_user(self, telegram_id: int) -> list[StoredEvent]:
        """Return a user's events, oldest first."""
        return list(self._related.get(("telegram_id", telegram_id), {}).values())

    def pending(self, destination: str, *, capped: bool) -> PendingQueue:
        """Return what is pending for a destination, with a batch cap or without."""
        return self._pending[destination, capped]

    def events(self, where: DeliveryFilter) -> Iterator[StoredEvent]:
        """Yield the events that are meant with all of their deliveries, oldest first."""
        related = self._related_to(where)
        return (
            stored
            for stored in (self._events.values() if related is None else related)
            if stored.is_meant(where)
            and all(self._is_meant(delivery, where) for delivery in stored.deliveries.values())
        )

    def deliveries(self, where: DeliveryFilter) -> Iterator[Delivery]:
        """Yield the deliveries that are meant, oldest event first."""
        related = self._related_to(where)
        return (
            delivery
            for stored in (self._in_states(where) if related is None else related)
            if stored.is_meant(where)
            for delivery in stored.deliveries.values()
            if self._is_meant(delivery, where)
        )

    def records(self, where: DeliveryFilter, span: Span) -> list[EventRecord]:
        """Return the events of which a delivery is meant, or all where any is."""
        related = self._related_to(where)
        stored = list(self._in_states(where) if related is None else related)
        return [
            EventRecord(each.seq, each.event, each.accepted, tuple(each.deliveries.values()))
            for each in islice(self._within(stored, where, span), span.limit)
        ]

    def _within(
        self,
        stored: list[StoredEvent],
        where: DeliveryFilter,
        span: Span,
    ) -> Iterator[StoredEvent]:
        start = bisect_right(stored, span.after, key=_number)
        end = len(stored) if span.before is None else bisect_left(stored, span.before, key=_number)
        numbers = range(end - 1, start - 1, -1) if span.newest else range(start, end)
        any_delivery = of_events(where) == where
        return (
            each
            for each in (stored[number] for number in numbers)
            if each.is_meant(where)
            and (
                any_delivery or any(self._is_meant(one, where) for one in each.deliveries.values())
            )
        )

    def counts(self) -> dict[str, dict[State, int]]:
        """How many deliveries each destination has in each state."""
        counted: dict[str, dict[State, int]] = {}
        for (destination, state), seqs in self._by_state.items():
            if seqs:
                counted.setdefault(destination, {})[state] = len(seqs)
        return counted

    def _related_to(self, where: DeliveryFilter) -> Iterable[StoredEvent] | None:
        """Return the events of the id, order or user of a filter; None when it names none."""
        for name in ("event_id", "order", "telegram_id"):
            value = getattr(where, name)
            if value is not None:
                return self._related.get((name, value), {}).values()
        return None

    def _in_states(self, where: DeliveryFilter) -> Iterable[StoredEvent]:
        """Return the events with a delivery in one of the states of a filter, oldest first."""
        if where.states is None:
            return self._events.values()
        seqs = {
            seq
            for (destination, state), seqs in self._by_state.items()
            if state in where.states and where.destination in (None, destination)
            for seq in seqs
        }
        return [self._events[seq] for seq in sorted(seqs)]

    def _is_meant(self, delivery: Delivery, where: DeliveryFilter) -> bool:
        """Return whether a delivery is what a filter says of deliveries."""
        return (
            where.destination in (None, delivery.destination)
            and (where.states is None or delivery.state in where.states)
            and where.maybe_delivered in (None, delivery.maybe_delivered)
            and not (where.unclaimed and self._leases.holds(key_of(delivery)))
        )

    def _unlist(self, delivery: Delivery) -> None:
        self._by_state[delivery.destination, delivery.state].remove(delivery.seq)
        if delivery.state == "pending":
            self._queue_of(delivery).remove(delivery.due, delivery.seq)

    def _queue_of(self, delivery: Delivery) -> PendingQueue:
        return self._pending[delivery.destination, delivery.batch_cap is not None]


def _number(stored: StoredEvent) -> int:
    return stored.seq


def _relations(stored: StoredEvent) -> list[tuple[str, object]]:
    """Return what an event is found by."""
    event = stored.event
    relations: list[tuple[str, object]] = [
        ("event_id", event.event_id),
        ("telegram_id", event.telegram_id),
    ]
    return relations if stored.order is None else [*relations, ("order", stored.order)]
