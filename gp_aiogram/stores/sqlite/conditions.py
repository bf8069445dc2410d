"""What a filter means in SQLite's SQL."""

from __future__ import annotations

import sqlite3

from gp_aiogram.stores.conditions import Conditions, Wording
from gp_aiogram.stores.records import DeliveryFilter
from gp_aiogram.stores.sqlite.once_keys import OnceKeys

#: A query with it needs the function ``is_claimed(seq, destination)``.
WORDING = Wording(
    events={
        "event_id": "event.event_id = :event_id",
        "order": "event.order_digest = :order",
        "telegram_id": "event.telegram_id = :telegram_id",
        "bot_id": "ifnull(event.bot_id, :bot_id) = :bot_id",
        "accepted_before": "event.accepted_ms < :accepted_before",
    },
    deliveries={
        "destination": "delivery.destination = :destination",
        "maybe_delivered": "delivery.maybe_delivered = :maybe_delivered",
    },
    claimed="is_claimed(delivery.seq, delivery.destination)",
)


def conditions_of(where: DeliveryFilter, connection: sqlite3.Connection) -> Conditions:
    """Write a filter as SQL.

    :param connection: to the file that the filter is applied to; orders have digests of its own.
    """
    return WORDING.conditions_of(where, lambda order: OnceKeys(connection).order_digest(order))
