"""What becomes of rows of a PostgreSQL schema that cannot be read: nothing else waits for them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from gp_aiogram.model.event import Event
from gp_aiogram.stores.pages import Key
from gp_aiogram.stores.postgres.transaction import Transaction
from gp_aiogram.stores.spoilt import read_event, stand_in

logger = logging.getLogger("gp_aiogram")

_BURY = """
    UPDATE {gp}.delivery SET state = 'dead', reason = CAST(:reason AS TEXT), attempts = 0,
        batch_cap = NULL, since_ms = CAST(:now AS BIGINT), due_ms = CAST(:now AS BIGINT)
    WHERE seq = CAST(:seq AS BIGINT) AND destination = CAST(:destination AS TEXT)
        AND state = 'pending'
    RETURNING seq
"""
_EVENT = """
    SELECT event_id, name, telegram_id, bot_id, accepted_ms FROM {gp}.event
    WHERE seq = CAST(:seq AS BIGINT)
"""


async def event_or_stand_in(
    transaction: Transaction,
    seq: int,
    body: Any,
) -> tuple[Event, str | None]:
    """Return an event; where it cannot be read, what its columns tell, and why."""
    event = read_event(body)
    if isinstance(event, Event):
        return event, None
    (row,) = await transaction.fetch(_EVENT, seq=seq)
    return stand_in(row), event


async def bury(transaction: Transaction, reasons: Mapping[Key, str], now: int) -> None:
    """Make dead letters of pending deliveries that nobody can send."""
    for (seq, destination), reason in reasons.items():
        found = await transaction.fetch(_EVENT, seq=seq)
        event_id = found[0][0] if found else f"number {seq}"
        logger.error("event %s is a dead letter for %s: %s", event_id, destination, reason)
        buried = await transaction.fetch(
            _BURY, reason=reason, now=now, seq=seq, destination=destination
        )
        transaction.move(destination, "pending", "dead", len(buried))
