"""Lists events with their deliveries from a PostgreSQL schema, newest or oldest first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from gp_aiogram.model.clock import from_ms
from gp_aiogram.stores.listing import of_events
from gp_aiogram.stores.pages import Listed, Wanted
from gp_aiogram.stores.postgres.conditions import WORDING, conditions_of
from gp_aiogram.stores.postgres.rows import COLUMNS, NOW
from gp_aiogram.stores.postgres.spoilt import event_or_stand_in
from gp_aiogram.stores.postgres.transaction import Transaction
from gp_aiogram.stores.records import DeliveryFilter, EventRecord
from gp_aiogram.stores.spoilt import is_moment, readable

#: Events that one transaction looks at, and that it returns.
WINDOW, PAGE = 5000, 500

#: An index finds few events by what it says; it must be used before the order is thought of.
_NARROWED = "WITH event AS MATERIALIZED (SELECT * FROM {{gp}}.event WHERE {narrow}) "

_EVENTS = """
    SELECT event.seq, event.accepted_ms, event.body FROM {source}
    WHERE {events} AND {any_delivery} AND {within}
    ORDER BY event.seq {order} LIMIT CAST(:limit AS BIGINT)
"""
_ANY_DELIVERY = """
    EXISTS (SELECT 1 FROM {{gp}}.delivery WHERE delivery.seq = event.seq AND {deliveries})
"""
_WITHIN = """
    event.seq > CAST(:after AS BIGINT) AND event.seq < CAST(:before AS BIGINT)
"""
#: The last of what one transaction looks at, when more may follow.
_LAST = """
    SELECT event.seq FROM {source} WHERE {within}
    ORDER BY event.seq {order} LIMIT 1 OFFSET CAST(:window AS BIGINT) - 1
"""
#: Dead letters are few, and an index has them in order.
_DEAD = """
    event.seq IN (
        SELECT DISTINCT seq FROM {{gp}}.delivery
        WHERE state = 'dead' AND {destination} AND seq > CAST(:after AS BIGINT)
            AND seq < CAST(:before AS BIGINT)
        ORDER BY seq {order} LIMIT CAST(:limit AS BIGINT)
    )
"""
_DELIVERIES = f"""
    SELECT {COLUMNS} FROM {{gp}}.delivery WHERE seq = ANY(CAST(:seqs AS BIGINT[]))
    ORDER BY seq, destination
"""

_BEYOND = 2**63 - 1

#: Means every event: the first that are looked at are those that are wanted.
_ANY = DeliveryFilter()


async def list_events(transaction: Transaction, wanted: Sequence[Wanted]) -> list[Listed]:
    """Return the events that each caller wants to see."""
    ((now,),) = await transaction.fetch(NOW)
    return [await _list(transaction, each, int(now)) for each in wanted]


async def _list(transaction: Transaction, wanted: Wanted, now: int) -> Listed:
    where, span = wanted
    events, deliveries, parameters = conditions_of(where, transaction.salt, now)
    narrow, order = WORDING.narrow_condition(where), "DESC" if span.newest else "ASC"
    limit = min(span.limit, PAGE)
    parameters |= {
        "after": span.after,
        "before": _BEYOND if span.before is None else span.before,
        "limit": limit,
        "window": WINDOW,
    }
    first = "" if narrow is None else _NARROWED.format(narrow=narrow)
    source = "{gp}.event" if narrow is None else "event"
    within, end = _WITHIN, None
    if _is_of_dead(where):
        within = _DEAD.format(destination=_destination(where), order=order)
    elif where != _ANY:
        last = first + _LAST.format(source=source, within=_WITHIN, order=order)
        rows = await transaction.fetch(last, **parameters)
        if rows:
            end = int(rows[0][0])
            parameters |= {"after": end - 1} if span.newest else {"before": end + 1}
    any_delivery = "TRUE"
    if where != of_events(where):
        any_delivery = _ANY_DELIVERY.format(deliveries=deliveries)
    query = first + _EVENTS.format(
        source=source, events=events, any_delivery=any_delivery, within=within, order=order
    )
    found = await transaction.fetch(query, **parameters)
    records = await _records(transaction, found, now)
    return Listed(records, records[-1].seq if len(found) == limit else end)


async def _records(
    transaction: Transaction,
    found: Sequence[Any],
    now: int,
) -> list[EventRecord]:
    by_seq: dict[int, list[Any]] = defaultdict(list)
    seqs = [row[0] for row in found]
    for row in await transaction.fetch(_DELIVERIES, seqs=seqs) if seqs else ():
        by_seq[row[0]].append(row)
    records = []
    for seq, accepted_ms, body in found:
        event, wrong = await event_or_stand_in(transaction, seq, body)
        deliveries = [readable(row, event, wrong, now) for row in by_seq[seq]]
        accepted = from_ms(accepted_ms if is_moment(accepted_ms) else now)
        records.append(EventRecord(seq, event, accepted, deliveries))
    return records


def _is_of_dead(where: DeliveryFilter) -> bool:
    """Return whether dead letters are all that is looked for."""
    return where == DeliveryFilter(destination=where.destination, states=frozenset({"dead"}))


def _destination(where: DeliveryFilter) -> str:
    return "TRUE" if where.destination is None else "destination = CAST(:destination AS TEXT)"
