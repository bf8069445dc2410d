"""A filter of deliveries as SQL."""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

from gp_aiogram.model.clock import to_ms
from gp_aiogram.stores.records import STATES, DeliveryFilter
from gp_aiogram.stores.sqlite.once_keys import OnceKeys

#: By the field of the filter.
_OF_EVENTS = {
    "event_id": "event.event_id = :event_id",
    "order": "event.order_digest = :order",
    "telegram_id": "event.telegram_id = :telegram_id",
    "bot_id": "ifnull(event.bot_id, :bot_id) = :bot_id",
    "accepted_before": "event.accepted_ms < :accepted_before",
}
#: Of these, those that an index finds few events by.
_NARROW = ("event_id", "order", "telegram_id")
_OF_DELIVERIES = {
    "destination": "delivery.destination = :destination",
    "maybe_delivered": "delivery.maybe_delivered = :maybe_delivered",
}


class Conditions(NamedTuple):
    """What a filter says.

    :param events: of events, in SQL.
    :param deliveries: of deliveries, in SQL; it may call ``is_claimed(seq, destination)``.
    :param parameters: of both, by name.
    """

    events: str
    deliveries: str
    parameters: dict[str, Any]


def conditions_of(where: DeliveryFilter, connection: sqlite3.Connection) -> Conditions:
    """Write a filter as SQL.

    :param connection: to the file that the filter is applied to; orders have digests of its own.
    """
    parameters = {
        name: value
        for name in (*_OF_EVENTS, *_OF_DELIVERIES)
        if (value := getattr(where, name)) is not None
    }
    events = [text for name, text in _OF_EVENTS.items() if name in parameters]
    deliveries = [text for name, text in _OF_DELIVERIES.items() if name in parameters]
    if where.order is not None:
        parameters["order"] = OnceKeys(connection).order_digest(where.order)
    if where.accepted_before is not None:
        parameters["accepted_before"] = to_ms(where.accepted_before)
    if where.states is not None:
        # As text: with a parameter no partial index is found.
        states = [f"delivery.state = '{state}'" for state in STATES if state in where.states]
        deliveries.append(f"({' OR '.join(states) or 'FALSE'})")
    if where.unclaimed:
        deliveries.append("NOT is_claimed(delivery.seq, delivery.destination)")
    return Conditions(_all_of(events), _all_of(deliveries), parameters)


def narrow_condition(where: DeliveryFilter) -> str | None:
    """Return what a filter says that leaves few events, in SQL."""
    named = (name for name in _NARROW if getattr(where, name) is not None)
    return next((_OF_EVENTS[name] for name in named), None)


def _all_of(conditions: list[str]) -> str:
    return " AND ".join(conditions) or "TRUE"
