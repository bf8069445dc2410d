"""What becomes of rows of a SQLite file that cannot be read: nothing else waits for them."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from typing import Any

from gp_aiogram.model.event import Event
from gp_aiogram.stores.pages import Key
from gp_aiogram.stores.spoilt import read_event, stand_in
from gp_aiogram.stores.sqlite.tally import Tally

logger = logging.getLogger("gp_aiogram")

_BURY = """
    UPDATE delivery SET state = 'dead', reason = ?, attempts = 0, batch_cap = NULL,
        since_ms = ?, due_ms = ?
    WHERE seq = ? AND destination = ? AND state = 'pending'
"""
_EVENT = "SELECT event_id, name, telegram_id, bot_id, accepted_ms FROM event WHERE seq = ?"


def event_or_stand_in(
    connection: sqlite3.Connection,
    seq: int,
    body: Any,
) -> tuple[Event, str | None]:
    """Return an event; where it cannot be read, what its columns tell, and why."""
    event = read_event(body)
    if isinstance(event, Event):
        return event, None
    (row,) = connection.execute(_EVENT, (seq,))
    return stand_in(row), event


def bury(connection: sqlite3.Connection, reasons: Mapping[Key, str], at_ms: int) -> None:
    """Make dead letters of pending deliveries that nobody can send."""
    tally = Tally()
    for (seq, destination), reason in reasons.items():
        found = connection.execute(_EVENT, (seq,)).fetchall()
        event_id = found[0][0] if found else f"number {seq}"
        logger.error("event %s is a dead letter for %s: %s", event_id, destination, reason)
        columns = (reason, at_ms, at_ms, seq, destination)
        buried = connection.execute(_BURY, columns).rowcount
        tally.move(destination, "pending", "dead", buried)
    tally.write(connection)
