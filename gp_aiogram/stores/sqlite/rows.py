"""Deliveries as rows of a SQLite file."""

from __future__ import annotations

from gp_aiogram.model.clock import Clock

#: Of a delivery, for :func:`~gp_aiogram.stores.rows.delivery_of`; the first two are its key.
COLUMNS = """
    delivery.seq, delivery.destination, state, attempts, since_ms, due_ms, reason, receipt,
    tries, maybe_delivered, batch_cap
"""


def storable(text: str | None) -> str | None:
    """Escape half an emoji, as a server may answer it: SQLite keeps no lone surrogate."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def now_ms(clock: Clock) -> int:
    """Return what the wall clock shows, as it is stored."""
    return round(clock.time() * 1000)
