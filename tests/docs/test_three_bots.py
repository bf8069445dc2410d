"""Three bots that were written from README and docs alone, against the stand-ins."""

from __future__ import annotations

import sqlite3
from collections import Counter
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiogram import Dispatcher
from docs.bots import casino, own_sessions, paid_channel

from fixtures.asgi import served
from fixtures.sandbox_bots import bot_of, polling
from gp_aiogram import (
    GramPixel,
    MetaCAPI,
    SQLiteStore,
    Store,
    StoreUnavailable,
    TikTokEvents,
    Tracker,
)
from gp_aiogram.sandbox import GramPixelSandbox, MetaSandbox, TelegramSandbox, TikTokSandbox
from gp_aiogram.testing import SessionStoreContract
from gp_aiogram.web import serve

CHANNEL_ID = -1001234567890
BROWSER = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)"}
FBCLID, TTCLID = "IwAR0aBcD_-efGh1234567890", "E.C.P." + "x" * 40


def grampixel_of(sandbox: GramPixelSandbox) -> GramPixel:
    return GramPixel(sandbox.api_key, sandbox.workspace_id, base_url=sandbox.url)


def names(events: list[Any], field: str = "event_name") -> Counter[str]:
    return Counter(event.body[field] for event in events)


# A casino with a payment webhook in FastAPI


async def test_a_casino_tells_first_deposits_from_later_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with TelegramSandbox() as telegram, GramPixelSandbox() as grampixel:
        tracker = Tracker([grampixel_of(grampixel)], store=SQLiteStore("gp.sqlite3"), strict=True)
        dp = Dispatcher()
        dp.include_router(casino.create_router())
        tracker.setup(dp)
        async with (
            bot_of(telegram) as bot,
            polling(dp, bot),
            served(casino.create_app(tracker)) as address,
            aiohttp.ClientSession(address) as provider,
        ):
            ada = telegram.user(7, "Ada")
            reply = await ada.start("gp_a1b2c3")
            assert reply.text == "Welcome from gp_a1b2c3"
            await ada.click("Register", expect_reply=False)

            async def pay(order: str, amount: str) -> int:
                paid = {"user": 7, "amount": amount, "currency": "EUR", "order": order}
                async with provider.post("/payment", json=paid) as answer:
                    return answer.status

            assert await pay("order-1", "49.90") == 200
            assert await pay("order-1", "49.90") == 200, "the provider calls twice"
            assert await pay("order-2", "-5") == 422
            accept = tracker.store.outbox.accept

            async def away(_: object) -> None:
                msg = "the disk is full"
                raise StoreUnavailable(msg)

            monkeypatch.setattr(tracker.store.outbox, "accept", away)
            assert await pay("order-3", "20") == 500
            monkeypatch.setattr(tracker.store.outbox, "accept", accept)
            assert await pay("order-3", "20") == 200, "and is called again"

            events = await grampixel.wait_for(3)
            assert names(events) == {"REG": 1, "FTD": 1, "DEP": 1}
            assert {event.body["session_id"] for event in events} == {"gp_a1b2c3"}
            values = {event.body["event_name"]: event.body.get("value") for event in events}
            assert values == {"REG": None, "FTD": 49.9, "DEP": 20}

            async with provider.post("/refund", json={"user": 7, "order": "order-3"}) as answer:
                assert answer.status == 200
            refund = (await grampixel.wait_for(4))[-1].body
            assert (refund["event_name"], refund["value"]) == ("Refund", 20)


# A paid channel on webhooks, straight to Meta and TikTok


async def clicked(landing: aiohttp.ClientSession, path: str) -> str:
    """Follow an ad, and return where it leads."""
    async with landing.get(path, headers=BROWSER, allow_redirects=False) as answer:
        assert answer.status == 302
        return answer.headers["Location"]


async def test_a_paid_channel_tells_meta_and_tiktok_of_the_click() -> None:
    async with TelegramSandbox() as telegram, MetaSandbox() as meta, TikTokSandbox() as tiktok:
        channel = telegram.channel(CHANNEL_ID, "News")
        tracker = Tracker(
            [
                MetaCAPI(meta.pixel_id, meta.access_token, base_url=meta.url),
                TikTokEvents(
                    tiktok.pixel_code,
                    tiktok.access_token,
                    base_url=tiktok.url,
                    only={"REG", "Purchase", "Subscribe"},
                ),
            ],
            auto={"Subscribe"},
            strict=True,
        )
        dp = Dispatcher()
        dp.include_router(paid_channel.create_router())
        tracker.setup(dp)
        async with bot_of(telegram) as bot:
            app = paid_channel.create_app(tracker, dp, bot, CHANNEL_ID)
            async with serve(app, port=0) as address, aiohttp.ClientSession(address) as landing:
                updates = dp.resolve_used_update_types()
                await bot.set_webhook(f"{address}/webhook", allowed_updates=updates)

                link = await clicked(landing, f"/go?fbclid={FBCLID}&utm_source=fb")
                ada = telegram.user(7, "Ada")
                await ada.start(link.partition("?start=")[2])
                await ada.pay()

                link = await clicked(landing, f"/channel/go?ttclid={TTCLID}")
                await telegram.user(8, "Bob").join(channel, link)

                of_meta, of_tiktok = await meta.wait_for(4), await tiktok.wait_for(3)
        assert names(of_meta) == {
            "CompleteRegistration": 1,
            "InitiateCheckout": 1,
            "Purchase": 1,
            "Lead": 1,
        }
        assert names(of_tiktok, "event") == {
            "CompleteRegistration": 1,
            "CompletePayment": 1,
            "SubmitForm": 1,
        }
        bought = next(event.body for event in of_meta if event.body["event_name"] == "Purchase")
        assert bought["user_data"]["fbc"].endswith(FBCLID)
        assert bought["user_data"]["external_id"] == sha256(b"7").hexdigest()
        assert bought["user_data"]["fn"] == sha256(b"ada").hexdigest()
        assert bought["custom_data"]["value"] == float(1000 * Decimal("0.013"))
        assert bought["custom_data"]["currency"] == "USD"
        joined = next(event.body for event in of_tiktok if event.body["event"] == "SubmitForm")
        assert joined["user"]["ttclid"] == TTCLID
        assert joined["user"]["external_id"] == sha256(b"8").hexdigest()


# Sessions in the bot's own database


class TestOwnSessions(SessionStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> own_sessions.OwnSessions:
        return own_sessions.OwnSessions(tmp_path / "bot.sqlite3")


async def test_sessions_live_in_the_bots_own_database() -> None:
    own = Path("bot.sqlite3")

    def touches() -> list[tuple[int, str]]:
        with sqlite3.connect(own) as database:
            found = database.execute("SELECT tg_user, click FROM bot_users_touches").fetchall()
        database.close()
        return found

    async with TelegramSandbox() as telegram, GramPixelSandbox() as grampixel:
        store = Store.of(own_sessions.OwnSessions(own), SQLiteStore("gp.sqlite3"))
        tracker = Tracker([grampixel_of(grampixel)], store=store, strict=True)
        dp = Dispatcher()
        dp.include_router(own_sessions.create_router())
        tracker.setup(dp)
        async with bot_of(telegram) as bot, polling(dp, bot):
            ada, bob = telegram.user(7, "Ada"), telegram.user(8, "Bob")
            assert (await ada.start("gp_a1b2c3")).text == "gp_a1b2c3"
            assert (await bob.start()).text == "organic"
            events = {event.body["telegram_id"]: event for event in await grampixel.wait_for(2)}
            assert events[7].body["session_id"] == "gp_a1b2c3"
            assert "session_id" not in events[8].body
            assert touches() == [(7, "gp_a1b2c3")]
            assert (await ada.send("/forget")).text == "Forgotten"
            assert touches() == []
