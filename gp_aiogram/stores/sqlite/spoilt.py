"""What becomes of rows that cannot be read: nothing else waits for them."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Mapping
from typing import Any

from gp_aiogram.model.clock import from_ms
from gp_aiogram.model.event import Event
from gp_aiogram.stores.pages import Key
from gp_aiogram.stores.records import Delivery, State
from gp_aiogram.stores.sqlite.rows import delivery_of
from gp_aiogram.stores.sqlite.tally import Tally

logger = logging.getLogger("gp_aiogram")

#: Reasons of deliveries.
EVENT_IS_GONE = "the stored event is gone"
DELIVERY_IS_SPOILT = "the stored delivery cannot be read"

#: Milliseconds since 1970 of the first and the last moment that there are.
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999

_BURY = """
    UPDATE delivery SET state = 'dead', reason = ?, attempts = 0, batch_cap = NULL,
        since_ms = ?, due_ms = ?
    WHERE seq = ? AND destination = ? AND state = 'pending'
"""
_EVENT = "SELECT event_id, name, telegram_id, bot_id, accepted_ms FROM event WHERE seq = ?"


def read_event(body: Any) -> Event | str:
    """Return an event, or why it cannot be read, without what it holds."""
    try:
        return Event.from_json(body)
    except Exception as error:  # noqa: BLE001 - whatever is in the row
        is_telling = isinstance(error, (KeyError, json.JSONDecodeError, UnicodeDecodeError))
        why = f"{type(error).__name__}{f': {error}' if is_telling else ''}"
        return f"the stored event cannot be read: {why}"


def is_sound(row: Any) -> bool:
    """Return whether a delivery can be made of a row of :data:`~.rows.COLUMNS`."""
    _, _, _, attempts, since_ms, due_ms, _, _, _, _, cap = row
    return (
        isinstance(attempts, int)
        and is_moment(since_ms)
        and is_moment(due_ms)
        and (cap is None or isinstance(cap, int))
    )


def mended(row: Any, at_ms: int) -> list[Any]:
    """Return a row without what cannot be read of it."""
    seq, destination, state, _, _, _, reason, receipt, tries, maybe, _ = row
    return [seq, destination, state, 0, at_ms, at_ms, reason, receipt, tries, maybe, None]


def event_or_stand_in(
    connection: sqlite3.Connection,
    seq: int,
    body: Any,
) -> tuple[Event, str | None]:
    """Return an event; where it cannot be read, what its columns tell, and why."""
    event = read_event(body)
    return (event, None) if isinstance(event, Event) else (stand_in(connection, seq), event)


def readable(row: Any, event: Event, wrong: str | None, at_ms: int) -> Delivery:
    """Return a delivery; one that cannot be read is shown as the dead letter that it is.

    :param row: of :data:`~.rows.COLUMNS`.
    :param wrong: why its event cannot be read; None when it can.
    """
    reason = wrong
    if not is_sound(row):
        reason, row = DELIVERY_IS_SPOILT, mended(row, at_ms)
    delivery = delivery_of(row, event)
    if reason is None:
        return delivery
    state: State = "dead" if delivery.state == "pending" else delivery.state
    return delivery._replace(state=state, reason=reason)


def stand_in(connection: sqlite3.Connection, seq: int) -> Event:
    """Return what the columns tell of an event whose body cannot be read, to show it."""
    ((event_id, name, telegram_id, bot_id, at_ms),) = connection.execute(_EVENT, (seq,))
    at = from_ms(at_ms if is_moment(at_ms) else 0)
    return Event(event_id, name, at, telegram_id=telegram_id, bot_id=bot_id)


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


def is_moment(value: object) -> bool:
    """Return whether milliseconds since 1970 are a moment that there is."""
    return isinstance(value, int) and _FIRST_MS <= value <= _LAST_MS
