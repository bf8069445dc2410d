"""What takes the place of rows that cannot be read."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from gp_aiogram.model.clock import from_ms
from gp_aiogram.model.event import Event
from gp_aiogram.stores.records import Delivery, State
from gp_aiogram.stores.rows import delivery_of

#: Reasons of deliveries.
_EVENT_IS_GONE = "the stored event is gone"
DELIVERY_IS_SPOILT = "the stored delivery cannot be read"

#: Milliseconds since 1970 of the first and the last moment that there are.
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999


def read_event(body: Any) -> Event | str:
    """Return an event, or why it cannot be read, without what it holds."""
    try:
        return Event.from_json(body)
    except Exception as error:  # noqa: BLE001 - whatever is in the row
        is_telling = isinstance(error, (KeyError, json.JSONDecodeError, UnicodeDecodeError))
        why = f"{type(error).__name__}{f': {error}' if is_telling else ''}"
        return f"the stored event cannot be read: {why}"


def read_events(
    seqs: Collection[int],
    rows: Iterable[Sequence[Any]],
) -> tuple[dict[int, Event], dict[int, str]]:
    """Return events by their numbers, and why the rest of them cannot be read.

    :param rows: the number and the body of each event that is stored.
    """
    events: dict[int, Event] = {}
    reasons = dict.fromkeys(seqs, _EVENT_IS_GONE)
    for seq, body in rows:
        event = read_event(body)
        if isinstance(event, Event):
            events[seq] = event
            del reasons[seq]
        else:
            reasons[seq] = event
    return events, reasons


def is_sound(row: Any) -> bool:
    """Return whether a delivery can be made of a row of ``COLUMNS``."""
    _, _, _, attempts, since_ms, due_ms, _, _, _, _, cap = row
    return (
        isinstance(attempts, int)
        and is_moment(since_ms)
        and is_moment(due_ms)
        and (cap is None or isinstance(cap, int))
    )


def stand_in(row: Any) -> Event:
    """Return what the columns tell of an event whose body cannot be read, to show it.

    :param row: its id, name, user and bot, and when it was accepted.
    """
    event_id, name, telegram_id, bot_id, at_ms = row
    at = from_ms(at_ms if is_moment(at_ms) else 0)
    return Event(event_id, name, at, telegram_id=telegram_id, bot_id=bot_id)


def readable(row: Any, event: Event, wrong: str | None, at_ms: int) -> Delivery:
    """Return a delivery; one that cannot be read is shown as the dead letter that it is.

    :param row: of ``COLUMNS``.
    :param wrong: why its event cannot be read; None when it can.
    """
    reason = wrong
    if not is_sound(row):
        reason, row = DELIVERY_IS_SPOILT, _mended(row, at_ms)
    delivery = delivery_of(row, event)
    if reason is None:
        return delivery
    state: State = "dead" if delivery.state == "pending" else delivery.state
    return delivery._replace(state=state, reason=reason)


def is_moment(value: object) -> bool:
    """Return whether milliseconds since 1970 are a moment that there is."""
    return isinstance(value, int) and _FIRST_MS <= value <= _LAST_MS


def _mended(row: Any, at_ms: int) -> list[Any]:
    """Return a row without what cannot be read of it."""
    seq, destination, state, _, _, _, reason, receipt, tries, maybe, _ = row
    return [seq, destination, state, 0, at_ms, at_ms, reason, receipt, tries, maybe, None]
