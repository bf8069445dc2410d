"""What the contracts put into an outbox, and short ways to do it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from gp_aiogram.event import Event
from gp_aiogram.stores.base import Delivery, Outbox

USER, OTHER_USER = 2**52 - 1, 43
BOT, OTHER_BOT = 7_000_000_001, 7_000_000_002
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)

LEASE = 60.0

#: Seconds by which a time may be off where a server's clock runs on during a test.
TOLERANCE = 2.0


def sample(event_id: str = "e1", **fields: Any) -> Event:
    """Make an event."""
    return Event(**{"event_id": event_id, "name": "REG", "event_time": NOON} | fields)


def _sample(**fields: Any) -> Event:
    return sample(**{"telegram_id": USER} | fields)


#: Events whose fields are hard to keep.
HARD_EVENTS = {
    "only what is needed": _sample(),
    "every field": _sample(
        name="FTD",
        event_time=NOON + timedelta(microseconds=123_456),
        bot_id=BOT,
        session_id="gp_a-Z_9",
        value=Decimal("49.90"),
        currency="EUR",
        user_data={"plan": "gold"},
    ),
    "zeros at the end of an amount": _sample(value=Decimal("10.000"), currency="KWD"),
    "amount in scientific notation": _sample(value=Decimal("1E+3"), currency="JPY"),
    "amount of no money": _sample(value=Decimal("0.00"), currency="USD"),
    "amount beyond a float": _sample(value=Decimal("999999999999.99"), currency="USD"),
    "largest ids": _sample(telegram_id=2**63 - 1, bot_id=2**63 - 1),
    "another time zone": _sample(event_time=NOON.astimezone(timezone(timedelta(hours=5.5)))),
    "text of every kind": _sample(
        event_id="'\"%_\\;-- ✓ " + "x" * 100,
        name="Покупка 🎉",
        user_data={"": "", "emoji": "🎉", "lone surrogate": "\ud83c", "nul": "a\0b", "é": "e\u0301"},
    ),
    "numbers of every kind": _sample(
        user_data={"beyond 53 bits": 2**53 + 1, "huge": -(2**70), "float": 0.1, "large": 1e300},
    ),
    "nested data": _sample(user_data={"a": [{"b": [None, True, False, [], {}]}]}),
}
