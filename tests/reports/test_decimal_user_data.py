"""A price, a date or an enum member in ``user_data`` costs no conversion.

After segment analytics-python#63 and #64, mixpanel-python#112, sift-python#38, drt#1076 and
launchdarkly python-server-sdk#56.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from fixtures.recorder import Recorder
from gp_aiogram import Tracker

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


class Tier(Enum):
    GOLD = "gold"


@dataclass
class Item:
    id: str
    item_price: Decimal


@pytest.mark.parametrize(
    ("user_data", "kept"),
    [
        ({"contents": [{"item_price": Decimal("9.99")}]}, {"contents": [{"item_price": 9.99}]}),
        ({"contents": [Item("a", Decimal(5))]}, {"contents": [{"id": "a", "item_price": 5}]}),
        ({"paid_at": NOON}, {"paid_at": "2026-01-01T12:00:00+00:00"}),
        ({"day": date(2026, 1, 1)}, {"day": "2026-01-01"}),
        ({"order": UUID(int=1)}, {"order": "00000000-0000-0000-0000-000000000001"}),
        ({"tier": Tier.GOLD}, {"tier": "gold"}),
        ({"tags": {"b", "a"}, "size": (1, 2)}, {"tags": ["a", "b"], "size": [1, 2]}),
    ],
)
async def test_what_json_has_not_is_converted(
    tracker: Tracker, recorder: Recorder, user_data: dict[str, Any], kept: dict[str, Any]
) -> None:
    async with tracker:
        assert await tracker.track("Purchase", telegram_id=7, value=1, user_data=user_data)
        assert await tracker.flush(5)
    (event,) = recorder.events
    assert event.user_data == kept


async def test_what_cannot_be_converted_is_left_out_and_told(
    tracker: Tracker, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    async with tracker:
        data = {"photo": b"secret", "plan": "gold", "log": "x" * 70_000}
        assert await tracker.track("Purchase", telegram_id=7, value=1, user_data=data)
        assert await tracker.flush(5)
    (event,) = recorder.events
    assert event.user_data == {"plan": "gold"}
    (told,) = [record for record in caplog.records if "user_data" in record.getMessage()]
    assert told.levelno == logging.WARNING
    assert "'photo' (bytes)" in told.getMessage()
    assert "'log' (too large)" in told.getMessage()
    assert "secret" not in caplog.text
