"""A wrong address, account or proxy pauses a destination and keeps its events (RFC 9110, 15.5).

After waxum#68, where a misconfigured hour cost all of its events, and AdTarget's API, which
answers 402 for a subscription that ended. GramPixel's document names two paths, so 404 may come
first.
"""

from __future__ import annotations

import httpx
import pytest

from gp_aiogram import GramPixel, MemoryStore, Tracker

WORKSPACE = "0f8fad5b-d9cb-469f-a165-70867728950e"


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 407, 410, 301, 302, 308])
async def test_no_event_is_given_up_for_a_status_that_speaks_of_the_call(status: int) -> None:
    page = httpx.MockTransport(lambda _: httpx.Response(status, text="<html>nginx</html>"))
    async with Tracker(
        [GramPixel("k", WORKSPACE, transport=page)], store=MemoryStore()
    ) as tracker:
        await tracker.track("FTD", telegram_id=7, bot_id=42, value=10)
        await tracker.flush(0.3)
        told = (await tracker.stats()).destinations["grampixel"]
    assert told.state == "refused"
    assert told.deliveries == {"pending": 1}


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_status_that_speaks_of_the_event_ends_it(status: int) -> None:
    page = httpx.MockTransport(lambda _: httpx.Response(status, text="no such currency"))
    async with Tracker(
        [GramPixel("k", WORKSPACE, transport=page)], store=MemoryStore()
    ) as tracker:
        await tracker.track("FTD", telegram_id=7, bot_id=42, value=10)
        assert await tracker.flush(5)
        told = (await tracker.stats()).destinations["grampixel"]
    assert told.deliveries == {"dead": 1}
