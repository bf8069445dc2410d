"""A key that a tracker's protocol has in the URL is in no line of the log.

After hummingbot/condor#106, OpenHarness#241 and others: httpx logs every URL at INFO, the level
that bots run with.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
from aiohttp import web

from gp_aiogram import Event, HTTPDestination, MemoryStore, Tracker


class Keitaro(HTTPDestination):
    def __init__(self, base_url: str, key: str) -> None:
        super().__init__(name="keitaro", base_url=base_url, secrets=[key])
        self._path = f"/{key}/postback"

    async def send(self, batch: Sequence[Event]) -> None:
        query = {"subid": batch[0].session_id, "status": batch[0].name}
        self.raise_for_status(await self.get(self._path, query))


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
async def test_the_key_is_in_no_log(caplog: pytest.LogCaptureFixture, level: int) -> None:
    caplog.set_level(level)
    paths: list[str] = []

    async def postback(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(text="Success")

    app = web.Application()
    app.router.add_get("/{path:.*}", postback)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    destination = Keitaro(f"http://127.0.0.1:{runner.addresses[0][1]}", "S3CRETKEY")
    async with Tracker([destination], store=MemoryStore()) as tracker:
        await tracker.capture(7, "gp_a1", bot_id=42)
        await tracker.track("REG", telegram_id=7, bot_id=42)
        assert await tracker.flush(5)
    await runner.cleanup()
    assert paths == ["/S3CRETKEY/postback"]
    assert "S3CRETKEY" not in caplog.text
