"""Lists events with their deliveries from a SQLite file, newest or oldest first."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from gp_aiogram.model.clock import Clock, from_ms
from gp_aiogram.stores.conditions import Conditions
from gp_aiogram.stores.leases import Leases
from gp_aiogram.stores.listing import of_events
from gp_aiogram.stores.pages import Key, Listed, Wanted
from gp_aiogram.stores.records import Delivery, DeliveryFilter, EventRecord, Span
from gp_aiogram.stores.spoilt import is_moment, readable
from gp_aiogram.stores.sqlite.bulk import select_in
from gp_aiogram.stores.sqlite.conditions import WORDING, conditions_of
from gp_aiogram.stores.sqlite.rows import COLUMNS, now_ms
from gp_aiogram.stores.sqlite.spoilt import event_or_stand_in

#: Events that one transaction looks at, and that it returns: whoever writes does not wait 50 ms.
WINDOW, PAGE = 2000, 250

_EVENTS = """
    SELECT event.seq, event.accepted_ms, event.body FROM event
    WHERE {events} AND {any_delivery} AND {within}
    ORDER BY event.seq {order} LIMIT :limit
"""
_ANY_DELIVERY = """
    EXISTS (SELECT * FROM delivery WHERE delivery.seq = event.seq AND {deliveries})
"""
#: The last of what one transaction looks at, when more may follow.
_LAST = """
    SELECT seq FROM event WHERE {found_by} AND seq > :after AND seq < :before
    ORDER BY seq {order} LIMIT 1 OFFSET :window - 1
"""
_WITHIN = "event.seq > :after AND event.seq < :before"
#: Dead letters are few, and an index has them in order.
_DEAD = """
    event.seq IN (
        SELECT DISTINCT seq FROM delivery
        WHERE state = 'dead' AND {destination} AND seq > :after AND seq < :before
        ORDER BY seq {order} LIMIT :limit
    )
"""
_DELIVERIES = f"SELECT {COLUMNS} FROM delivery WHERE seq IN ({{marks}}) ORDER BY seq, destination"

_BEYOND = 2**63 - 1

#: Means every event: the first that are looked at are those that are wanted.
_ANY = DeliveryFilter()


class Listing:
    """Works for many callers at once.

    :param clock: dates deliveries that cannot be read.
    :param leases: what is claimed.
    """

    def __init__(self, clock: Clock, leases: Leases[Key]) -> None:
        self._clock = clock
        self._leases = leases

    def events(self, connection: sqlite3.Connection, wanted: Sequence[Wanted]) -> list[Listed]:
        """Return the events that each caller wants to see."""
        return [self._list(connection, *each) for each in wanted]

    def _list(self, connection: sqlite3.Connection, where: DeliveryFilter, span: Span) -> Listed:
        if where.unclaimed:
            connection.create_function("is_claimed", 2, self._is_claimed)
        conditions = conditions_of(where, connection)
        order = "DESC" if span.newest else "ASC"
        limit = min(span.limit, PAGE)
        parameters = {
            **conditions.parameters,
            "after": span.after,
            "before": _BEYOND if span.before is None else span.before,
            "limit": limit,
            "window": WINDOW,
        }
        within, end = _WITHIN, None
        if _is_of_dead(where):
            within = _DEAD.format(destination=_destination(where), order=order)
        elif where != _ANY:
            end = _narrow_to_window(connection, where, parameters, order)
        query = _EVENTS.format(
            events=conditions.events,
            any_delivery=_any_delivery(where, conditions),
            within=within,
            order=order,
        )
        rows = connection.execute(query, parameters).fetchall()
        records = self._records(connection, rows)
        return Listed(records, records[-1].seq if len(rows) == limit else end)

    def _records(self, connection: sqlite3.Connection, rows: Sequence[Any]) -> list[EventRecord]:
        by_seq: dict[int, list[Any]] = defaultdict(list)
        for row in select_in(connection, _DELIVERIES, [seq for seq, *_ in rows]):
            by_seq[row[0]].append(row)
        return [self._record(connection, by_seq[row[0]], *row) for row in rows]

    def _record(
        self,
        connection: sqlite3.Connection,
        rows: Sequence[Any],
        seq: int,
        accepted_ms: Any,
        body: Any,
    ) -> EventRecord:
        event, wrong = event_or_stand_in(connection, seq, body)
        at_ms = now_ms(self._clock)
        deliveries: list[Delivery] = [readable(row, event, wrong, at_ms) for row in rows]
        accepted = from_ms(accepted_ms if is_moment(accepted_ms) else at_ms)
        return EventRecord(seq, event, accepted, deliveries)

    def _is_claimed(self, seq: int, destination: str) -> bool:
        return self._leases.holds((seq, destination))


def _any_delivery(where: DeliveryFilter, conditions: Conditions) -> str:
    if where == of_events(where):
        return "TRUE"
    return _ANY_DELIVERY.format(deliveries=conditions.deliveries)


def _narrow_to_window(
    connection: sqlite3.Connection,
    where: DeliveryFilter,
    parameters: dict[str, Any],
    order: str,
) -> int | None:
    """Have a query look at the next events only, and return the last; None without more."""
    found_by = WORDING.narrow_condition(where) or "TRUE"
    row = connection.execute(_LAST.format(found_by=found_by, order=order), parameters).fetchone()
    if row is None:
        return None
    # What follows is looked at by the next transaction.
    (end,) = row
    parameters.update({"after": end - 1} if order == "DESC" else {"before": end + 1})
    return int(end)


def _is_of_dead(where: DeliveryFilter) -> bool:
    """Return whether dead letters are all that is looked for."""
    dead = DeliveryFilter(destination=where.destination, states=frozenset({"dead"}))
    return where == dead


def _destination(where: DeliveryFilter) -> str:
    return "TRUE" if where.destination is None else "destination = :destination"
