"""Deliveries as rows of a SQLite file."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from gp_aiogram.model.clock import Clock, from_ms
from gp_aiogram.model.event import Event
from gp_aiogram.stores.pages import Key
from gp_aiogram.stores.records import Delivery, Try
from gp_aiogram.stores.tries import UNREADABLE, read_tries

logger = logging.getLogger("gp_aiogram")

#: Of a delivery, for :func:`delivery_of`; the first two are its :data:`Key`.
COLUMNS = """
    delivery.seq, delivery.destination, state, attempts, since_ms, due_ms, reason, receipt,
    tries, maybe_delivered, batch_cap
"""

#: What shared a transaction has its times in common.
_moment = lru_cache(maxsize=1024)(from_ms)


def key_of(delivery: Delivery) -> Key:
    """Return what tells a delivery from others."""
    return delivery.seq, delivery.destination


def delivery_of(row: Any, event: Event, token: str = "") -> Delivery:
    """Return the delivery in a row of :data:`COLUMNS`."""
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


def storable(text: str | None) -> str | None:
    """Escape half an emoji, as a server may answer it: SQLite keeps no lone surrogate."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def tell_left_out(what: str, error: Exception) -> None:
    """Tell of a row that cannot be read, or a part of it, and costs nothing else."""
    logger.error("a stored %s cannot be read and is left out: %s", what, type(error).__name__)


def now_ms(clock: Clock) -> int:
    """Return what the wall clock shows, as it is stored."""
    return round(clock.time() * 1000)
