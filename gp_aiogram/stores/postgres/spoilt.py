"""What becomes of rows that cannot be read: nothing else waits for them."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from gp_aiogram.model.clock import from_ms
from gp_aiogram.model.event import Event
from gp_aiogram.stores.pages import Key
from gp_aiogram.stores.postgres.rows import delivery_of
from gp_aiogram.stores.postgres.transaction import Transaction
from gp_aiogram.stores.records import Delivery, State

logger = logging.getLogger("gp_aiogram")

#: Reasons of deliveries.
EVENT_IS_GONE = "the stored event is gone"
DELIVERY_IS_SPOILT = "the stored delivery cannot be read"

#: Milliseconds since 1970 of the first and the last moment that there are.
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999

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
    _, _, _, _, since_ms, due_ms, *_ = row
    return is_moment(since_ms) and is_moment(due_ms)


def mended(row: Any, now: int) -> list[Any]:
    """Return a row without what cannot be read of it."""
    seq, destination, state, _, _, _, reason, receipt, tries, maybe, _ = row
    return [seq, destination, state, 0, now, now, reason, receipt, tries, maybe, None]


async def event_or_stand_in(
    transaction: Transaction,
    seq: int,
    body: Any,
) -> tuple[Event, str | None]:
    """Return an event; where it cannot be read, what its columns tell, and why."""
    event = read_event(body)
    if isinstance(event, Event):
        return event, None
    return await stand_in(transaction, seq), event


def readable(row: Any, event: Event, wrong: str | None, now: int) -> Delivery:
    """Return a delivery; one that cannot be read is shown as the dead letter that it is.

    :param row: of :data:`~.rows.COLUMNS`.
    :param wrong: why its event cannot be read; None when it can.
    """
    reason = wrong
    if not is_sound(row):
        reason, row = DELIVERY_IS_SPOILT, mended(row, now)
    delivery = delivery_of(row, event)
    if reason is None:
        return delivery
    state: State = "dead" if delivery.state == "pending" else delivery.state
    return delivery._replace(state=state, reason=reason)


async def stand_in(transaction: Transaction, seq: int) -> Event:
    """Return what the columns tell of an event whose body cannot be read, to show it."""
    found = await transaction.fetch(_EVENT, seq=seq)
    event_id, name, telegram_id, bot_id, at_ms = found[0]
    at = from_ms(at_ms if is_moment(at_ms) else 0)
    return Event(event_id, name, at, telegram_id=telegram_id, bot_id=bot_id)


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


def is_moment(value: int) -> bool:
    """Return whether milliseconds since 1970 are a moment that there is."""
    return _FIRST_MS <= value <= _LAST_MS
