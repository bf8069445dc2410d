"""The example of docs/howto/write-a-destination.md, run as it stands there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gp_aiogram import Destination, Event, HTTPDestination, MemoryStore, Tracker
from gp_aiogram.model.event import new_event

DOCS = Path(__file__).parents[2] / "docs" / "howto" / "write-a-destination.md"


def example() -> str:
    (code, *_) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    return code


@pytest.fixture
def keitaro() -> type[Destination]:
    namespace: dict[str, Any] = {}
    exec(example(), namespace)
    return namespace["Keitaro"]


def test_the_class_is_under_thirty_lines_of_code() -> None:
    assert len([line for line in example().splitlines() if line.strip()]) < 30


async def test_it_delivers_by_get_and_is_told_apart(keitaro: Any) -> None:
    statuses = iter([200, 422, 503])
    queries: list[dict[str, str]] = []

    async def postback(request: web.Request) -> web.Response:
        queries.append(dict(request.query))
        return web.Response(status=next(statuses))

    app = web.Application()
    app.router.add_get("/abc/postback", postback)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    destination = keitaro(f"http://{host}:{port}", key="abc")
    try:
        async with Tracker([destination], store=MemoryStore()) as tracker:
            await tracker.track("DEP", telegram_id=7, value=Decimal("9.90"), session_id="sub1")
            assert await tracker.flush(5)
            event = await tracker.track("REG", telegram_id=8)
            assert await tracker.flush(5)
            (skipped,) = await tracker.deliveries(event.event_id)
            for session_id in ("sub2", "sub3"):
                await tracker.track("REG", telegram_id=9, session_id=session_id)
                assert await tracker.flush(5)
            counts = await tracker.stats()
        assert skipped.state == "skipped"
        assert "no sub id" in skipped.reason
        assert counts.destinations["keitaro"].deliveries == {
            "delivered": 1,
            "skipped": 1,
            "dead": 1,
            "pending": 1,
        }
        assert queries[0]["subid"] == "sub1"
        assert queries[0]["status"] == "rebill"
        assert (queries[0]["payout"], queries[0]["currency"]) == ("9.90", "USD")
    finally:
        await runner.cleanup()


async def test_a_body_that_holds_itself_is_an_error_and_no_endless_request() -> None:
    class Own(HTTPDestination):
        async def send(self, events: Sequence[Event]) -> None:
            body: dict[str, Any] = {"event_id": events[0].event_id}
            body["self"] = body
            await self.post("/", body)

    destination = Own(name="own", base_url="https://example.com")
    event = new_event("REG", telegram_id=7, event_time=datetime.now(timezone.utc))
    with pytest.raises(RecursionError):
        await destination.send([event])
