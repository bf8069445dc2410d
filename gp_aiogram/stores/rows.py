"""What the rows of SQLite and PostgreSQL hold, which have the same columns."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from gp_aiogram.model import codec
from gp_aiogram.model.click import Click
from gp_aiogram.model.clock import from_ms
from gp_aiogram.model.event import Event
from gp_aiogram.model.session import Session
from gp_aiogram.stores.pages import Key
from gp_aiogram.stores.records import Delivery, Try, Unmatched
from gp_aiogram.stores.tries import UNREADABLE, read_tries

logger = logging.getLogger("gp_aiogram")

#: What shared a transaction has its times in common.
_moment = lru_cache(maxsize=1024)(from_ms)


def key_of(delivery: Delivery) -> Key:
    """Return what tells a delivery from others."""
    return delivery.seq, delivery.destination


def delivery_of(row: Any, event: Event, token: str = "") -> Delivery:
    """Return the delivery in a row of ``COLUMNS``, which each database has of its own."""
    seq, destination, state, attempts, since_ms, due_ms, reason, receipt, tries, maybe, cap = row
    return Delivery(
        event=event,
        destination=destination,
        state=state,
        attempts=attempts,
        since=_moment(since_ms),
        due=_moment(due_ms),
        reason=reason,
        receipt=_receipt_of(receipt) if receipt else {},
        maybe_delivered=bool(maybe),
        batch_cap=cap,
        seq=seq,
        token=token,
        tries=_tries_of(tries) if tries else (),
    )


def receipt_text(receipt: Mapping[str, Any]) -> str | None:
    """Return a receipt as it is stored."""
    return json.dumps(receipt, default=str) if receipt else None


def sessions_of(rows: Iterable[Sequence[Any]]) -> list[Session]:
    """Return the touches that can be read."""
    return [session for session in map(session_of, rows) if session is not None]


def session_of(row: Sequence[Any]) -> Session | None:
    """Return the touch in a row; None when it cannot be read."""
    bot_id, telegram_id, session_id, source, at_ms, payload = row
    try:
        at = from_ms(at_ms)
    except (TypeError, ValueError, OverflowError) as error:
        tell_left_out("touch", error)
        return None
    return Session(bot_id, telegram_id, session_id, source, at, payload)


def clicks_of(rows: Iterable[Sequence[Any]]) -> dict[str, Click]:
    """Return the clicks that can be read, by their session ids."""
    clicks = {session_id: _click_of(body) for session_id, body in rows}
    return {session_id: click for session_id, click in clicks.items() if click is not None}


def conversions_of(rows: Iterable[Sequence[Any]]) -> list[Unmatched]:
    """Return the conversions without a user that can be read."""
    return [one for one in map(_conversion_of, rows) if one is not None]


def tell_left_out(what: str, error: Exception) -> None:
    """Tell of a row that cannot be read, or a part of it, and costs nothing else."""
    logger.error("a stored %s cannot be read and is left out: %s", what, type(error).__name__)


def _receipt_of(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (TypeError, ValueError) as error:
        tell_left_out("receipt", error)
        return {}


def _tries_of(text: str) -> tuple[Try, ...]:
    try:
        return read_tries(text)
    except UNREADABLE as error:
        tell_left_out("list of tries", error)
        return ()


def _click_of(body: Any) -> Click | None:
    try:
        return Click.from_dict(codec.decode(body))
    except Exception as error:  # noqa: BLE001 - whatever is in the row
        tell_left_out("click", error)
        return None


def _conversion_of(row: Sequence[Any]) -> Unmatched | None:
    key, click_id, at_ms, body = row
    try:
        return Unmatched(key, click_id, from_ms(at_ms), codec.decode(body))
    except (TypeError, ValueError, OverflowError) as error:
        tell_left_out("conversion", error)
        return None
