"""A malformed click id costs a conversion its click id, and nothing else.

After adsmurai-facebook-conversions-api-client#6: Meta answers 100/2804001, "Click ID Incorrectly
Formatted", and takes nothing. An fbclid is a text of base64url.
"""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from gp_aiogram import Click, MemoryStore, MetaCAPI, Tracker
from gp_aiogram.sandbox import MetaSandbox

JUNK = ["IwAR0abc)", "IwAR0abc,", "{{fbclid}}", "IwAR0abc#top", "IwAR0abc\u200b", "<IwAR0abc>"]


@pytest.mark.parametrize("fbclid", JUNK)
async def test_a_conversion_outlives_a_junk_click_id(fbclid: str) -> None:
    async with MetaSandbox() as meta:
        destination = MetaCAPI(meta.pixel_id, meta.access_token, base_url=meta.url)
        async with Tracker([destination], store=MemoryStore()) as tracker:
            click = Click(at=datetime.now(timezone.utc), fbclid=fbclid)
            session_id = await tracker.register_click(click)
            await tracker.capture(100, session_id, bot_id=42)
            await tracker.track("Purchase", telegram_id=100, bot_id=42, value=50)
            assert await tracker.flush(5)
            assert await tracker.dead_letters() == []
        (taken,) = meta.events
    assert "fbc" not in taken.body["user_data"]
