"""Our own destinations against the gateway, unchanged: from a bot's event to Meta and TikTok."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fixtures.gateway import KEY, WORKSPACE, gateway_of
from gp_aiogram import (
    Click,
    GramPixel,
    LeadSail,
    MemoryStore,
    MetaCAPI,
    SQLiteStore,
    TikTokEvents,
    Tracker,
)
from gp_aiogram.sandbox import (
    Fault,
    GramPixelSandbox,
    LeadSailSandbox,
    MetaSandbox,
    TikTokSandbox,
)


def behind(meta: MetaSandbox, tiktok: TikTokSandbox) -> list[Any]:
    page = "https://shop.example/"
    return [
        MetaCAPI(meta.pixel_id, meta.access_token, base_url=meta.url),
        TikTokEvents(tiktok.pixel_code, tiktok.access_token, base_url=tiktok.url, page_url=page),
    ]


#: Of each name, what the document maps it to. TikTok's web pixels call a registration so.
MAPPING = [
    ("FTD", "Purchase", "CompletePayment"),
    ("DEP", "Purchase", "CompletePayment"),
    ("Purchase", "Purchase", "CompletePayment"),
    ("REG", "CompleteRegistration", "CompleteRegistration"),
    ("Subscribe", "Lead", "SubmitForm"),
    ("JoinRequest", "Lead", "SubmitForm"),
    ("INSTALL", "AppInstall", "Download"),
    ("TRIAL", "StartTrial", "Subscribe"),
    ("MyOwn", "MyOwn", "MyOwn"),
]


async def test_a_bots_events_reach_both_platforms_with_the_click(tmp_path: Path) -> None:
    async with MetaSandbox() as meta, TikTokSandbox() as tiktok:
        server = Tracker(behind(meta, tiktok), store=SQLiteStore(tmp_path / "gateway.sqlite3"))
        async with server, gateway_of(server) as client:
            bot = Tracker([GramPixel(KEY, WORKSPACE, base_url=client.url)], store=MemoryStore())
            async with bot:
                session_id = await server.register_click(
                    Click(fbclid="IwAR0x", ttclid="E.C.P.x", ip="203.0.113.7")
                )
                await bot.capture(7, session_id)
                for name, _, _ in MAPPING:
                    value = 150 if name in ("FTD", "DEP", "Purchase") else None
                    await bot.track(name, telegram_id=7, value=value, event_id=f"id of {name}")
                await meta.wait_for(len(MAPPING), timeout=20)
                await tiktok.wait_for(len(MAPPING), timeout=20)
                assert await bot.dead_letters() == []
    at_meta = {event.body["event_id"]: event.body for event in meta.received}
    at_tiktok = {event.body["event_id"]: event.body for event in tiktok.received}
    for name, metas, tiktoks in MAPPING:
        one, other = at_meta[f"id of {name}"], at_tiktok[f"id of {name}"]
        assert (one["event_name"], other["event"]) == (metas, tiktoks)
        assert one["user_data"]["fbc"].endswith(".IwAR0x")
        assert other["user"]["ttclid"] == "E.C.P.x"
    assert at_meta["id of FTD"]["custom_data"] == {"value": 150.0, "currency": "USD"}


async def test_lost_answers_make_no_second_event() -> None:
    async with (
        MetaSandbox() as meta,
        TikTokSandbox() as tiktok,
        GramPixelSandbox(destinations=behind(meta, tiktok)) as grampixel,
    ):
        grampixel.fail(Fault.drop_answer())
        destination = GramPixel(grampixel.api_key, grampixel.workspace_id, base_url=grampixel.url)
        async with Tracker([destination], store=MemoryStore()) as bot:
            await bot.track("FTD", telegram_id=7, value=150)
            await grampixel.wait_for(2, timeout=20)
            await asyncio.gather(meta.wait_for(1), tiktok.wait_for(1))
            assert await grampixel.tracker.flush(5)
        assert len(grampixel.unique_events) == 1
        assert (len(meta.received), len(tiktok.received)) == (1, 1)


@pytest.mark.parametrize("platform", ["facebook", "tiktok"])
async def test_leadsails_destination_fires_the_leads_pixel(platform: str) -> None:
    async with (
        MetaSandbox() as meta,
        TikTokSandbox() as tiktok,
        LeadSailSandbox(destinations=behind(meta, tiktok)) as leadsail,
    ):
        await leadsail.tracker.identify(7, lead_id="lead_1", email="ada@example.com")
        pixel_id = meta.pixel_id if platform == "facebook" else tiktok.pixel_code
        destination = LeadSail(
            leadsail.api_key,
            pixel_id,
            platform,
            base_url=leadsail.url,
            lead_id="lead_1",
            test_event_code="TEST1",
        )
        async with Tracker([destination], store=MemoryStore()) as bot:
            await bot.track("FTD", telegram_id=99, value=150, currency="EUR")
            await leadsail.wait_for(1, timeout=20)
            told: Any = meta if platform == "facebook" else tiktok
            (event,) = await told.wait_for(1, timeout=20)
        other = tiktok if platform == "facebook" else meta
        assert other.requests == []
    assert event.test_event_code == "TEST1"
    if platform == "facebook":
        assert event.body["event_name"] == "Purchase"
        assert "em" in event.body["user_data"]
        assert event.body["action_source"] == "system_generated"
    else:
        assert event.body["event"] == "CompletePayment"
        assert "email" in event.body["user"]


async def test_a_wrong_workspace_pauses_the_bots_destination_and_keeps_its_events() -> None:
    async with GramPixelSandbox() as grampixel:
        destination = GramPixel(grampixel.api_key, WORKSPACE, base_url=grampixel.url)
        async with Tracker([destination], store=MemoryStore()) as bot:
            await bot.track("REG", telegram_id=7)
            await grampixel.notifier.wait_until(lambda: grampixel.requests, 10)
            await asyncio.sleep(0.1)
            stats = (await bot.stats()).destinations["grampixel"]
            assert stats.deliveries == {"pending": 1}
            assert stats.state == "refused"
