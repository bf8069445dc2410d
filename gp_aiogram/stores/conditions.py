"""Writes what a filter means as SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gp_aiogram.model.clock import to_ms
from gp_aiogram.stores.records import STATES, DeliveryFilter

#: The fields of a filter that an index finds few events by.
_NARROW = ("event_id", "order", "telegram_id")


class Conditions(NamedTuple):
    """What a filter says.

    :param events: of events, in SQL.
    :param deliveries: of deliveries, in SQL.
    :param parameters: of both, by name.
    """

    events: str
    deliveries: str
    parameters: dict[str, Any]


class Wording(NamedTuple):
    """What the fields of a filter mean in the SQL of one database.

    :param events: conditions of events, by the field.
    :param deliveries: conditions of deliveries, by the field.
    :param claimed: whether a delivery is claimed.
    """

    events: Mapping[str, str]
    deliveries: Mapping[str, str]
    claimed: str

    def conditions_of(self, where: DeliveryFilter, digest: Callable[[str], bytes]) -> Conditions:
        """Write a filter as SQL.

        :param digest: returns by what the store finds the events of an order.
        """
        parameters = {
            name: value
            for name in (*self.events, *self.deliveries)
            if (value := getattr(where, name)) is not None
        }
        events = [text for name, text in self.events.items() if name in parameters]
        deliveries = [text for name, text in self.deliveries.items() if name in parameters]
        if where.order is not None:
            parameters["order"] = digest(where.order)
        if where.accepted_before is not None:
            parameters["accepted_before"] = to_ms(where.accepted_before)
        if where.states is not None:
            # As text: with a parameter no partial index is found.
            states = [f"delivery.state = '{state}'" for state in STATES if state in where.states]
            deliveries.append(f"({' OR '.join(states) or 'FALSE'})")
        if where.unclaimed:
            deliveries.append(f"NOT {self.claimed}")
        return Conditions(_all_of(events), _all_of(deliveries), parameters)

    def narrow_condition(self, where: DeliveryFilter) -> str | None:
        """Return what a filter says that leaves few events, in SQL."""
        named = (name for name in _NARROW if getattr(where, name) is not None)
        return next((self.events[name] for name in named), None)


def _all_of(conditions: list[str]) -> str:
    return " AND ".join(conditions) or "TRUE"
