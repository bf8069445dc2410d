"""A deposit in a coin that a destination has a rate for is recorded and converted.

Deposits of Telegram bots come in USDT and TON (CryptoBot, TON Pay).
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import httpx
import pytest

from gp_aiogram import EventError, MemoryStore, MetaCAPI, Tracker


async def test_what_a_rate_converts_can_be_recorded() -> None:
    taken: list[Any] = []

    def take(request: httpx.Request) -> httpx.Response:
        taken.extend(json.loads(request.content)["data"])
        return httpx.Response(200, json={"events_received": 1})

    rates = {"USDT": ("USD", Decimal(1))}
    meta = MetaCAPI("1", "token", rates=rates, transport=httpx.MockTransport(take))
    async with Tracker([meta], store=MemoryStore()) as tracker:
        event = await tracker.track("FTD", telegram_id=7, bot_id=42, value=25, currency="usdt")
        assert event is not None
        assert (event.value, event.currency) == (25, "USDT")
        with pytest.raises(EventError, match="not 'TON'"):
            await tracker.track("FTD", telegram_id=7, bot_id=42, value=25, currency="TON")
        assert await tracker.flush(5)
    (item,) = taken
    assert (item["custom_data"]["value"], item["custom_data"]["currency"]) == (25, "USD")
