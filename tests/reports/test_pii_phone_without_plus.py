"""A phone number without its plus never gets raw into the store or to a destination.

After entireio/cli#1909 and govuk_publishing_components#4937: a filter that knows one way of
writing only. Telegram itself gives numbers without a plus.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gp_aiogram import GramPixel, SQLiteStore, Tracker

WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize(
    ("user_data", "is_whole"),
    [
        ({"customer_phone": "79161234567"}, True),
        ({"customer": {"phone": "79161234567"}}, True),
        ({"PHONE_NUMBER": "79161234567"}, True),
        ({"msisdn": 79161234567}, True),
        ({"whatsapp": "79161234567"}, True),
        ({"order": [{"Buyer": {"userPhone": 79161234567}}]}, True),
        ({"contact": "8 (916) 123-45-67"}, False),
    ],
)
async def test_a_number_is_hashed_or_left_out(
    tmp_path: Path, user_data: dict[str, Any], is_whole: bool
) -> None:
    sent: list[Any] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(200, json={"ok": True, "data": {}})

    grampixel = GramPixel("key", WORKSPACE, transport=httpx.MockTransport(take))
    async with Tracker([grampixel], store=SQLiteStore(tmp_path / "gp.sqlite3")) as tracker:
        event = await tracker.track("REG", telegram_id=7, bot_id=42, user_data=user_data)
        assert event is not None
        assert await tracker.flush(5)
        kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"1234567" not in kept
    assert b"123-45-67" not in kept
    assert "user_data" not in sent[0]
    assert ("ph" in event.traits.get("meta", {})) is is_whole


async def test_ids_that_look_like_contacts_stay(tracker: Tracker) -> None:
    ids = {"order": "A+1234567890", "package": "x@1.2.3", "order_id": "79161234567"}
    event = await tracker.track("REG", telegram_id=7, user_data=ids)
    assert event is not None
    assert event.user_data == ids
