"""Errors of Meta that say that the call is wrong, not the event, pause it and keep the events.

After facebook-ruby-business-sdk#115 and facebook-nodejs-business-sdk#239 (a Graph version that was
switched off), facebook-python-business-sdk#528 (appsecret_proof); Graph API, "Handling Errors".
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gp_aiogram import MemoryStore, MetaCAPI, Tracker

CONFIGURATION = [
    (400, 2635, "OAuthException", "(#2635) You are calling a deprecated version of the Ads API."),
    (400, 12, "OAuthException", "(#12) ... is deprecated for versions v26.0 and higher"),
    (400, 104, "OAuthException", "An access token is required to request this resource."),
    (404, 803, "OAuthException", "(#803) Some of the aliases you requested do not exist: PIXEL"),
    (400, 2500, "OAuthException", "Unknown path components: /events"),
    (400, 100, "GraphMethodException", "Invalid appsecret_proof provided in the API argument"),
    (400, 101, "OAuthException", "Error validating application."),
]


async def deliver(status: int, error: dict[str, Any]) -> Any:
    answer = httpx.MockTransport(lambda _: httpx.Response(status, json={"error": error}))
    async with Tracker([MetaCAPI("1", "t", transport=answer)], store=MemoryStore()) as tracker:
        await tracker.track("REG", telegram_id=7, bot_id=42)
        await tracker.flush(0.3)
        return (await tracker.stats()).destinations["meta"]


@pytest.mark.parametrize(("status", "code", "kind", "message"), CONFIGURATION)
async def test_the_call_is_wrong(status: int, code: int, kind: str, message: str) -> None:
    told = await deliver(status, {"code": code, "type": kind, "message": message})
    assert (told.state, told.deliveries) == ("refused", {"pending": 1})


async def test_the_event_is_wrong() -> None:
    error = {"code": 100, "error_subcode": 2804019, "type": "OAuthException", "message": "Invalid"}
    assert (await deliver(400, error)).deliveries == {"dead": 1}
