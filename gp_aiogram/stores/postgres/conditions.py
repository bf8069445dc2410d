"""Writes what a filter means as SQL."""

from __future__ import annotations

from typing import Any, NamedTuple

from gp_aiogram.model.clock import to_ms
from gp_aiogram.stores.keys import order_digest
from gp_aiogram.stores.postgres.rows import CLAIMED
from gp_aiogram.stores.records import STATES, DeliveryFilter

#: By the field of the filter.
_OF_EVENTS = {
    "event_id": "event.event_id = CAST(:event_id AS TEXT)",
    "order": "event.order_digest = CAST(:order AS BYTEA)",
    "telegram_id": "event.telegram_id = CAST(:telegram_id AS BIGINT)",
    "bot_id": "coalesce(event.bot_id, CAST(:bot_id AS BIGINT)) = CAST(:bot_id AS BIGINT)",
    "accepted_before": "event.accepted_ms < CAST(:accepted_before AS BIGINT)",
}
#: Of these, those that an index finds few events by.
_NARROW = ("event_id", "order", "telegram_id")
_OF_DELIVERIES = {
    "destination": "delivery.destination = CAST(:destination AS TEXT)",
    "maybe_delivered": "delivery.maybe_delivered = CAST(:maybe_delivered AS BOOLEAN)",
}


class Conditions(NamedTuple):
    """What a filter says.

    :param events: of events, in SQL.
    :param deliveries: of deliveries, in SQL; it may ask for the parameter ``now``.
    :param parameters: of both, by name.
    """

    events: str
    deliveries: str
    parameters: dict[str, Any]


def conditions_of(where: DeliveryFilter, salt: bytes, now: int) -> Conditions:
    """Write a filter as SQL.

    :param salt: orders have digests of the store's own.
    :param now: the server's time, in milliseconds.
    """
    parameters = {
        name: value
        for name in (*_OF_EVENTS, *_OF_DELIVERIES)
        if (value := getattr(where, name)) is not None
    }
    events = [text for name, text in _OF_EVENTS.items() if name in parameters]
    deliveries = [text for name, text in _OF_DELIVERIES.items() if name in parameters]
    if where.order is not None:
        parameters["order"] = order_digest(salt, where.order)
    if where.accepted_before is not None:
        parameters["accepted_before"] = to_ms(where.accepted_before)
    if where.states is not None:
        # As text: with a parameter no partial index is found.
        states = [f"delivery.state = '{state}'" for state in STATES if state in where.states]
        deliveries.append(f"({' OR '.join(states) or 'FALSE'})")
    if where.unclaimed:
        deliveries.append(f"NOT {CLAIMED}")
    parameters["now"] = now
    return Conditions(_all_of(events), _all_of(deliveries), parameters)


def narrow_condition(where: DeliveryFilter) -> str | None:
    """Return what a filter says that leaves few events, in SQL."""
    named = (name for name in _NARROW if getattr(where, name) is not None)
    return next((_OF_EVENTS[name] for name in named), None)


def _all_of(conditions: list[str]) -> str:
    return " AND ".join(conditions) or "TRUE"
