"""Deliveries as rows of a PostgreSQL table."""

from __future__ import annotations

from gp_aiogram.stores.records import MAX_DELAY

#: Of a delivery, for :func:`~gp_aiogram.stores.rows.delivery_of`; the first two are its key.
COLUMNS = """
    delivery.seq, delivery.destination, delivery.state, delivery.attempts, delivery.since_ms,
    delivery.due_ms, delivery.reason, delivery.receipt, delivery.tries,
    delivery.maybe_delivered, delivery.batch_cap
"""

#: What seems to be due later was scheduled, and what seems to be leased for longer was claimed,
#: before the server's clock went back.
FAR_MS = round(MAX_DELAY * 1000)

#: Whether a delivery is claimed at the moment ``:now``.
CLAIMED = f"""
    (delivery.lease_ms > CAST(:now AS BIGINT)
    AND delivery.lease_ms <= CAST(:now AS BIGINT) + {FAR_MS})
"""

NOW = "SELECT {gp}.now_ms()"


def storable(text: str | None) -> str | None:
    r"""Escape half an emoji and NUL, as a server may answer them: PostgreSQL keeps neither."""
    if text is None:
        return None
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", r"\x00")
