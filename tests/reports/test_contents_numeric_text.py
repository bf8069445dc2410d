"""Prices and counts that a bot keeps as texts reach the platforms as numbers.

After react-native-tiktok-business-sdk#30: TikTok refuses ``contents`` whose price is no number.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from gp_aiogram import MemoryStore, MetaCAPI, TikTokEvents, Tracker

ITEM = {"id": "sku", "item_price": "9.99", "quantity": "1"}


async def test_numeric_texts_are_numbers(caplog: pytest.LogCaptureFixture) -> None:
    bodies: dict[str, Any] = {}

    def take(request: httpx.Request) -> httpx.Response:
        (item,) = json.loads(request.content)["data"]
        bodies[str(request.url.host)] = item
        return httpx.Response(200, json={"events_received": 1, "code": 0, "message": "OK"})

    transport = httpx.MockTransport(take)
    meta = MetaCAPI("1", "token", transport=transport)
    tiktok = TikTokEvents("C0", "token", page_url="https://a.example", transport=transport)
    async with Tracker([meta, tiktok], store=MemoryStore()) as tracker:
        data = {"contents": [ITEM], "num_items": "1"}
        await tracker.track("Purchase", telegram_id=7, bot_id=42, value="9.99", user_data=data)
        assert await tracker.flush(5)
    custom = bodies["graph.facebook.com"]["custom_data"]
    assert custom["contents"] == [{"id": "sku", "item_price": 9.99, "quantity": 1}]
    properties = bodies["business-api.tiktok.com"]["properties"]
    assert properties["contents"] == [{"content_id": "sku", "price": 9.99, "quantity": 1}]
    assert custom["num_items"] == properties["num_items"] == 1
    assert not [record for record in caplog.records if "left out" in record.getMessage()]
