"""What a filter means in PostgreSQL's SQL."""

from __future__ import annotations

from functools import partial

from gp_aiogram.stores.conditions import Conditions, Wording
from gp_aiogram.stores.keys import order_digest
from gp_aiogram.stores.postgres.rows import CLAIMED
from gp_aiogram.stores.records import DeliveryFilter

WORDING = Wording(
    events={
        "event_id": "event.event_id = CAST(:event_id AS TEXT)",
        "order": "event.order_digest = CAST(:order AS BYTEA)",
        "telegram_id": "event.telegram_id = CAST(:telegram_id AS BIGINT)",
        "bot_id": "coalesce(event.bot_id, CAST(:bot_id AS BIGINT)) = CAST(:bot_id AS BIGINT)",
        "accepted_before": "event.accepted_ms < CAST(:accepted_before AS BIGINT)",
    },
    deliveries={
        "destination": "delivery.destination = CAST(:destination AS TEXT)",
        "maybe_delivered": "delivery.maybe_delivered = CAST(:maybe_delivered AS BOOLEAN)",
    },
    claimed=CLAIMED,
)


def conditions_of(where: DeliveryFilter, salt: bytes, now: int) -> Conditions:
    """Write a filter as SQL.

    :param salt: orders have digests of the store's own.
    :param now: the server's time, in milliseconds; a condition may ask for it.
    """
    conditions = WORDING.conditions_of(where, partial(order_digest, salt))
    return conditions._replace(parameters={**conditions.parameters, "now": now})
